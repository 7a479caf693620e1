"""What came of it: the figures of one policy in one scenario, and its series."""

from collections import Counter
from dataclasses import dataclass, field

from .scenario import Arrivals, Scenario


@dataclass(slots=True)
class Tally:
    """Counts while a scenario is played."""

    calls: int = 0
    done: int = 0
    dead: int = 0
    dead_in_vain: int = 0
    wasted_seconds: float = 0.0
    trips: int = 0
    detected_at: float | None = None
    last_done: float = 0.0
    calls_at: Counter[int] = field(default_factory=Counter)
    done_at: Counter[int] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One policy in one scenario.

    Attributes:
        policy: Its name.
        jobs: All of the scenario.
        done: Jobs that succeeded before the horizon.
        dead: Jobs that were buried.
        dead_in_vain: Buried jobs that were well: another try would have succeeded.
        waiting: Jobs that were still waiting at the horizon.
        calls: All calls of the dependency.
        peak: Most calls in one second from the first recovery on in which the dependency is well, as a share of the
            capacity.
        drain_seconds: From recovery to the last success.
        oracle_seconds: The same for who knows everything, and calls as often as the dependency bears.
        detection_seconds: From recovery to the first call that worked; 0: none did.
        wasted_seconds: Time of workers in calls that failed.
        trips: How often a breaker opened or held.
        calls_series: Calls per second, in steps of `step_seconds`.
        done_series: Jobs done per second, likewise.
        step_seconds: Of the series.
    """

    policy: str
    jobs: int
    done: int
    dead: int
    dead_in_vain: int
    waiting: int
    calls: int
    peak: float
    drain_seconds: float
    oracle_seconds: float
    detection_seconds: float
    wasted_seconds: float
    trips: int
    calls_series: tuple[float, ...]
    done_series: tuple[float, ...]
    step_seconds: int

    @property
    def calls_per_job(self) -> float:
        """Calls for each job done; infinite where none was."""
        return self.calls / self.done if self.done else float("inf")


POINTS = 240
"""Of a series: as many as a chart shows."""


def measured(policy: str, scenario: Scenario, tally: Tally) -> Outcome:
    """The figures of what was played."""
    step, calls, done = _series(tally)
    return Outcome(
        policy=policy,
        jobs=scenario.jobs,
        done=tally.done,
        dead=tally.dead,
        dead_in_vain=tally.dead_in_vain,
        waiting=scenario.jobs - tally.done - tally.dead,
        calls=tally.calls,
        peak=max((count for second, count in tally.calls_at.items() if _is_well(scenario, second)), default=0)
        / scenario.capacity,
        drain_seconds=max(0.0, tally.last_done - scenario.well_at),
        oracle_seconds=max(0.0, _oracle(scenario) - scenario.well_at),
        detection_seconds=0.0 if tally.detected_at is None else tally.detected_at - scenario.well_at,
        wasted_seconds=tally.wasted_seconds,
        trips=tally.trips,
        calls_series=calls,
        done_series=done,
        step_seconds=step,
    )


def _is_well(scenario: Scenario, second: int) -> bool:
    """Whether the dependency was disturbed before this second, if it ever is, and is not in it."""
    before = [each for each in scenario.phases if each.start < second + 1]
    recovered = any(each.disturbed for each in before) or not any(each.disturbed for each in scenario.phases)
    return recovered and not before[-1].disturbed and second > int(before[-1].start)


def _oracle(scenario: Scenario) -> float:
    """When who knows everything is done: each second it does what the dependency bears, and never more."""
    backlog, left, granted = 0.0, float(scenario.jobs), float(scenario.quota)
    for second in range(int(scenario.horizon)):
        arrived = sum(_arriving(each, second) for each in scenario.arrivals)
        if scenario.quota and second % int(scenario.quota_seconds) == 0:
            granted = float(scenario.quota)
        backlog += arrived
        done = min(backlog, _borne(scenario, second), granted if scenario.quota else backlog)
        backlog, left, granted = backlog - done, left - done, granted - done
        if left < 1:
            return second + scenario.call_seconds
    return scenario.horizon


def _arriving(arrivals: Arrivals, second: int) -> float:
    if arrivals.per_second is None:
        return arrivals.jobs if int(arrivals.start) == second else 0.0
    before = min(arrivals.jobs, max(0.0, (second - arrivals.start) * arrivals.per_second))
    return min(arrivals.jobs, max(0.0, (second + 1 - arrivals.start) * arrivals.per_second)) - before


def _borne(scenario: Scenario, second: int) -> float:
    phase = [each for each in scenario.phases if each.start <= second][-1]
    return 0.0 if phase.failing is not None else scenario.capacity * phase.share


def _series(tally: Tally) -> tuple[int, tuple[float, ...], tuple[float, ...]]:
    last = max(tally.calls_at, default=0)
    step = max(1, -(-(last + 1) // POINTS))
    return step, _binned(tally.calls_at, step, last), _binned(tally.done_at, step, last)


def _binned(counts: Counter[int], step: int, last: int) -> tuple[float, ...]:
    bins = [0] * (last // step + 1)
    for second, count in counts.items():
        bins[min(second, last) // step] += count
    return tuple(round(count / step, 3) for count in bins)
