"""Plays scenarios under every policy."""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from ..policy import RetryPolicy
from .clients import Guarded, Plain, plain_clients
from .outcome import Outcome
from .scenario import Scenario
from .world import World


class Comparison(NamedTuple):
    """One scenario under every policy; ours comes first."""

    scenario: Scenario
    outcomes: tuple[Outcome, ...]


def clients(tried: Mapping[str, RetryPolicy] | None = None) -> list[Guarded | Plain]:
    """The policies, made anew: they remember what they played. Those that are `tried` come last, by name."""
    return [Guarded(), *plain_clients(), *(Plain(name, policy) for name, policy in (tried or {}).items())]


def compared(
    scenarios: Iterable[Scenario], *, seed: int, tried: Mapping[str, RetryPolicy] | None = None
) -> Iterator[Comparison]:
    """Each scenario under each policy, with the same luck."""
    for scenario in scenarios:
        yield Comparison(scenario, tuple(World(scenario, each, seed).play() for each in clients(tried)))
