"""Plays scenarios under every policy."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from .clients import Guarded, Plain, plain_clients
from .outcome import Outcome
from .scenario import Scenario
from .world import World


class Comparison(NamedTuple):
    """One scenario under every policy; ours comes first."""

    scenario: Scenario
    outcomes: tuple[Outcome, ...]


def clients() -> list[Guarded | Plain]:
    """The policies, made anew: they remember what they played."""
    return [Guarded(), *plain_clients()]


def compared(scenarios: Iterable[Scenario], *, seed: int) -> Iterator[Comparison]:
    """Each scenario under each policy, with the same luck."""
    for scenario in scenarios:
        yield Comparison(scenario, tuple(World(scenario, each, seed).play() for each in clients()))
