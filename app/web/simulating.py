"""Simulations that are played while somebody waits: small, one at a time, and each only once."""

from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Literal

from anyio import CapacityLimiter, to_thread

from ..retry.policy import RetryPolicy
from ..retry.simulate.run import Comparison, compared
from ..retry.simulate.scenario import small_scenarios

LEAST_JOBS, MOST_JOBS = 100, 2000
"""All policies then take a second or two."""

MOST_RETRIES = 20
"""Of a policy that is tried: with more, one that waits for nothing would be played for long."""

REMEMBERED = 32
"""Comparisons that are kept: the same question has the same answer."""

TRIED = "yours"
"""The name of a policy that is tried."""

ScenarioName = Literal[
    "full outage",
    "brownout",
    "poisoned task",
    "failover",
    "healthy",
    "rate limited",
    "flapping",
    "revoked key",
    "40 % errors",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What to play.

    Attributes:
        scenario: What happens to the dependency.
        jobs: That wait or come, from `LEAST_JOBS` to `MOST_JOBS`.
        seed: The same seed has the same end.
        tried: A policy that is played beside ours and the plain ones.
    """

    scenario: ScenarioName
    jobs: int
    seed: int
    tried: RetryPolicy | None = None


_one_at_a_time = CapacityLimiter(1)


async def play(asked: Asked) -> Comparison:
    """One story under every policy: ours first, then plain ones, then the one that is tried."""
    return await to_thread.run_sync(partial(_played, asked), limiter=_one_at_a_time)


@lru_cache(maxsize=REMEMBERED)
def _played(asked: Asked) -> Comparison:
    scenarios = [each for each in small_scenarios(asked.jobs) if each.name == asked.scenario]
    tried = {} if asked.tried is None else {TRIED: asked.tried}
    return next(compared(scenarios, seed=asked.seed, tried=tried))
