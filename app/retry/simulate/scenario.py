"""What happens to a dependency, and when jobs come. Times are seconds from the start."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..failure import FailureType

_T = FailureType

NOTABLE_ERRORS = 0.1
"""From this share of errors on something is wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """How the dependency is from `start` to the next phase.

    Attributes:
        start: When it begins.
        share: Of its capacity that is left.
        failing: What every call fails with; None: it works.
        errors: Share of calls that fail by themselves, with EXTERNAL_API_DOWN.
        kills: Whether calls in flight fail at its begin.
        fail_seconds: How long a call takes to fail.
    """

    start: float = 0.0
    share: float = 1.0
    failing: FailureType | None = None
    errors: float = 0.0
    kills: bool = False
    fail_seconds: float = 1.0

    @property
    def disturbed(self) -> bool:
        """Whether the dependency is not well in it, beyond the errors of every day."""
        return self.failing is not None or self.share < 1 or self.errors > NOTABLE_ERRORS


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrivals:
    """Jobs that come: all at `start`, or at a rate."""

    start: float = 0.0
    jobs: int
    per_second: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A story with a dependency in it.

    Attributes:
        name: As in the table.
        story: One sentence.
        capacity: Calls per second that the dependency bears.
        phases: In order; the first one starts at 0.
        arrivals: In any order.
        call_seconds: How long a call that works takes.
        processes: Workers.
        slots: Jobs that each runs at once.
        poisoned_every: Each nth job fails whenever it runs; 0: none.
        quota: Calls in `quota_seconds` before a rate limit refuses the rest with its end as a hint; 0: none.
        quota_seconds: Length of the rate limit's window.
        well_at: From when on the dependency is well for good; drain is measured from there.
        horizon: When nothing is played any more.
    """

    name: str
    story: str
    capacity: float = 100.0
    phases: tuple[Phase, ...] = (Phase(),)
    arrivals: tuple[Arrivals, ...]
    call_seconds: float = 0.2
    processes: int = 20
    slots: int = 10
    poisoned_every: int = 0
    quota: int = 0
    quota_seconds: float = 60.0
    well_at: float = 0.0
    horizon: float = 14_400.0

    @property
    def jobs(self) -> int:
        """All that come."""
        return sum(each.jobs for each in self.arrivals)


def _usual(seconds: float, per_second: float = 80.0) -> Arrivals:
    return Arrivals(jobs=round(seconds * per_second), per_second=per_second)


def full_outage(jobs: int = 50_000, seconds: float = 1200.0, capacity: float = 100.0) -> Scenario:
    """Everything fails for a while, and a backlog waits."""
    end = 60.0 + seconds
    return Scenario(
        name="full outage",
        story=f"after a quiet minute every call fails for {seconds / 60:g} min, while {jobs} jobs wait",
        phases=(Phase(), Phase(start=60.0, failing=_T.EXTERNAL_API_DOWN, kills=True), Phase(start=end)),
        arrivals=(_usual(60, 0.8 * capacity), Arrivals(start=60.0, jobs=jobs)),
        capacity=capacity,
        well_at=end,
    )


def brownout(jobs: int = 50_000, seconds: float = 1200.0, capacity: float = 100.0) -> Scenario:
    """Less than a third of the capacity is left for a while."""
    end = 60.0 + seconds
    return Scenario(
        name="brownout",
        story=f"30 % of the capacity is left for {seconds / 60:g} min, while {jobs} jobs wait",
        phases=(Phase(), Phase(start=60.0, share=0.3), Phase(start=end)),
        arrivals=(_usual(60, 0.8 * capacity), Arrivals(start=60.0, jobs=jobs)),
        capacity=capacity,
        well_at=end,
    )


def poisoned_task(jobs: int = 20_000) -> Scenario:
    """One job in twenty fails whenever it runs, as if the dependency were down."""
    return Scenario(
        name="poisoned task",
        story="every 20th job fails whenever it runs; the others are well",
        arrivals=(_usual(3600.0, jobs / 3600.0),),
        poisoned_every=20,
    )


def failover(jobs: int = 10_000, capacity: float = 200.0) -> Scenario:
    """All calls in flight die at once, and for a second nobody answers."""
    return Scenario(
        name="failover",
        story="a database fails over: calls in flight die at once, and for 1 s all others too",
        phases=(
            Phase(),
            Phase(start=60.3, failing=_T.TRANSIENT_DATABASE, kills=True, fail_seconds=0.05),
            Phase(start=61.3),
        ),
        arrivals=(_usual(jobs / (0.4 * capacity), 0.4 * capacity),),
        call_seconds=1.0,
        capacity=capacity,
        well_at=61.3,
    )


def healthy(jobs: int = 20_000) -> Scenario:
    """Nothing happens but one error in two hundred calls."""
    return Scenario(
        name="healthy",
        story="nothing happens, but one call in 200 fails",
        phases=(Phase(errors=0.005, fail_seconds=0.2),),
        arrivals=(_usual(jobs / 80.0),),
    )


def rate_limited(jobs: int = 10_000) -> Scenario:
    """An interface grants 1 200 calls a minute, and says when to come back."""
    return Scenario(
        name="rate limited",
        story=f"1 200 calls a minute are granted, the rest gets a 429 with Retry-After; {jobs} jobs wait",
        arrivals=(Arrivals(jobs=jobs),),
        quota=1200,
        capacity=2000.0,
    )


def flapping(jobs: int = 20_000, capacity: float = 100.0) -> Scenario:
    """Up for a minute and down for a minute, ten times."""
    down = [Phase(start=60.0 + 120.0 * turn, failing=_T.TRANSIENT_NETWORK, kills=True) for turn in range(10)]
    up = [Phase(start=120.0 + 120.0 * turn) for turn in range(10)]
    return Scenario(
        name="flapping",
        story=f"a minute up, a minute down, ten times; {jobs} jobs wait",
        phases=(Phase(), *(each for pair in zip(down, up, strict=True) for each in pair)),
        arrivals=(_usual(60, 0.8 * capacity), Arrivals(start=60.0, jobs=jobs)),
        capacity=capacity,
        well_at=1200.0,
    )


def revoked_key(jobs: int = 20_000, seconds: float = 3600.0, capacity: float = 100.0) -> Scenario:
    """The credentials are refused until somebody mends them."""
    end = 60.0 + seconds
    return Scenario(
        name="revoked key",
        story=f"the key is revoked for {seconds / 60:g} min, while {jobs} jobs wait",
        phases=(Phase(), Phase(start=60.0, failing=_T.PERMANENT_AUTH, fail_seconds=0.1), Phase(start=end)),
        arrivals=(_usual(60, 0.8 * capacity), Arrivals(start=60.0, jobs=jobs)),
        capacity=capacity,
        well_at=end,
    )


def errors_40(jobs: int = 20_000) -> Scenario:
    """Two calls in five fail by chance, while the middle third of the jobs comes."""
    third = jobs / 60.0
    return Scenario(
        name="40 % errors",
        story=f"for {third:.0f} s two calls in five fail by chance",
        phases=(Phase(), Phase(start=third, errors=0.4, fail_seconds=0.2), Phase(start=2 * third)),
        arrivals=(_usual(jobs / 20.0, 20.0),),
        capacity=40.0,
        well_at=2 * third,
    )


def all_scenarios() -> Sequence[Scenario]:
    """In the order of the table, in full length."""
    return (
        full_outage(),
        brownout(),
        poisoned_task(),
        failover(),
        healthy(),
        rate_limited(),
        flapping(),
        revoked_key(),
        errors_40(),
    )


def short_scenarios() -> Sequence[Scenario]:
    """The same stories with fewer jobs and workers, for tests."""
    return tuple(
        replace(each, processes=5, slots=8, horizon=4200.0)
        for each in (
            full_outage(15_000, capacity=50.0),
            brownout(12_000, 300.0),
            poisoned_task(6_000),
            failover(6_000),
            healthy(5_000),
            rate_limited(3_000),
            flapping(5_000),
            revoked_key(3_000, 1800.0),
            errors_40(4_000),
        )
    )


def small_scenarios(jobs: int) -> Sequence[Scenario]:
    """The same stories about `jobs` jobs and a small dependency, to be played while somebody waits for the answer."""
    return tuple(
        replace(each, processes=4, slots=5, horizon=3600.0)
        for each in (
            full_outage(jobs, 600.0, capacity=20.0),
            brownout(jobs, 300.0, capacity=20.0),
            poisoned_task(jobs),
            failover(jobs, capacity=20.0),
            healthy(jobs),
            rate_limited(jobs),
            flapping(jobs, capacity=20.0),
            revoked_key(jobs, 1200.0, capacity=20.0),
            errors_40(jobs),
        )
    )
