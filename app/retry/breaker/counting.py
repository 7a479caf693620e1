"""Outcomes by the second, and whether they are enough to open a breaker.

Three guards keep one event from being taken for an outage: a second counts for half the threshold at most, so that a
failover which kills 200 queries in flight is one event; a job counts once in a window, so that a poisoned one is not
an outage; and failures must be a share of all outcomes, so that 1 % of errors at 500 jobs a second is none.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import takewhile
from typing import NamedTuple

from ..failure import FailureType
from .rules import Rules, Trip
from .states import Breaker, Slot

MIN_OUTCOMES = 20
"""Fewer in the window say nothing about a share; then only failures without a success between them count."""

LONGEST_RUN_SECONDS = 3600
SHORTEST_OUTAGE = timedelta(seconds=1.5)
MOST_OF_A_SECOND = 0.5
MOST_SLOTS = 128
_WHOLE = 1.0 - 1e-9  # Ten tenths are a little less than one.


class Counted(NamedTuple):
    """A failure that may mean an outage."""

    second: int
    job_id: int
    type: FailureType


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What one process saw of one dependency since its last report.

    Attributes:
        generation: Of the breaker when the calls were started.
        at: The time of the report.
        successes: By whole second since 1970.
        failures: Counted ones, oldest first.
        holding: Jobs that failed for want of credentials or settings, with their failure type.
        last_failure_at: When the latest of `failures` was.
        last_success_at: Of this process; ends a hold's count.
        paced: Calls that were refused by a rate limit.
    """

    generation: int
    at: datetime
    successes: tuple[tuple[int, int], ...] = ()
    failures: tuple[Counted, ...] = ()
    holding: tuple[tuple[int, FailureType], ...] = ()
    last_failure_at: datetime | None = None
    last_success_at: datetime | None = None
    paced: int = 0

    @property
    def is_empty(self) -> bool:
        """Whether nothing happened: such a report need not be made."""
        return not (self.successes or self.failures or self.holding or self.paced)


class Count(NamedTuple):
    """A stretch of outcomes."""

    successes: int
    failures: int
    pressure: float
    seconds: int

    @property
    def outcomes(self) -> int:
        """All of them."""
        return self.successes + self.failures


def counted(breaker: Breaker, report: Report, rules: Rules) -> Breaker:
    """The row with the report's outcomes, without those that are too old to matter."""
    slots = {slot.second: slot for slot in breaker.slots}
    for second, successes in report.successes:
        slot = slots.get(second, Slot(second))
        slots[second] = slot._replace(successes=slot.successes + successes)
    known = {job for slot in breaker.slots for job in slot.jobs}
    for failure in report.failures:
        if failure.job_id not in known and (trip := rules.trips.get(failure.type)) is not None:
            slot = slots.get(failure.second, Slot(failure.second))
            slots[failure.second] = _with_failure(slot, failure.job_id, trip)
            known.update(slots[failure.second].jobs)
    kept = _kept(sorted(slots.values()), int(report.at.timestamp()), rules)
    return replace(
        breaker,
        slots=kept,
        suspect_since=_since(breaker, kept, report.at),
        failure_type=report.failures[-1].type if report.failures else breaker.failure_type,
    )


def _with_failure(slot: Slot, job_id: int, trip: Trip) -> Slot:
    if slot.pressure >= MOST_OF_A_SECOND:  # The second is full: only the share still has to know.
        return slot._replace(failures=slot.failures + 1)
    pressure = min(MOST_OF_A_SECOND, slot.pressure + 1 / trip.failures)
    return Slot(slot.second, slot.successes, slot.failures + 1, pressure, (*slot.jobs, job_id))


def _since(breaker: Breaker, kept: tuple[Slot, ...], at: datetime) -> datetime | None:
    first = next((slot.second for slot in kept if slot.failures), None)
    if first is None:
        return None
    if breaker.suspect_since is not None and int(breaker.suspect_since.timestamp()) == first:
        return breaker.suspect_since
    return min(at, datetime.fromtimestamp(first + 1, at.tzinfo))  # Within that second nobody knows when: the latest.


def _kept(slots: Iterable[Slot], now: int, rules: Rules) -> tuple[Slot, ...]:
    """From the first failure that still matters: in the window, or in the run of failures that has not ended."""
    from_window = now - rules.window_seconds
    ordered = [slot for slot in slots if slot.second > now - LONGEST_RUN_SECONDS]
    last_success = max((slot.second for slot in ordered if slot.successes), default=0)
    kept = [slot for slot in ordered if slot.second > from_window or slot.second > last_success]
    while kept and not kept[0].failures:
        kept.pop(0)
    return tuple(kept[-MOST_SLOTS:])


def window(breaker: Breaker, now: datetime, rules: Rules) -> Count:
    """All outcomes that are not older than the window."""
    oldest = now.timestamp() - rules.window_seconds
    return _sum([slot for slot in breaker.slots if slot.second > oldest])


def run(breaker: Breaker) -> Count:
    """The failures since the last success. Within a second nobody knows the order: one with a success is out."""
    # From its end: each claim on a ramp asks this twice, and the run is mostly short where the row is long.
    failing = list(takewhile(lambda slot: not slot.successes, reversed(breaker.slots)))
    return _sum(failing[::-1])


def _sum(slots: list[Slot]) -> Count:
    failing = sum(1 for slot in slots if slot.failures)
    return Count(
        sum(slot.successes for slot in slots),
        sum(slot.failures for slot in slots),
        sum(slot.pressure for slot in slots),
        failing,
    )


def tripped(breaker: Breaker, report: Report, rules: Rules) -> Count | None:
    """The stretch of outcomes that opens the breaker, now that it has the report's too; None: nothing does.

    Only a failure opens it, and only one that comes a second and a half after the first: when all of them are of one
    moment, their successors have not had the time to succeed.

    With `MIN_OUTCOMES` in the window their share decides. The run of failures decides where there are fewer, or where
    it is that long itself: a minute of successes must not hide an outage that began five seconds ago.
    """
    if breaker.failure_type is None or (trip := rules.trips.get(breaker.failure_type)) is None:
        return None
    last = report.last_failure_at
    if breaker.suspect_since is None or last is None or last - breaker.suspect_since < SHORTEST_OUTAGE:
        return None
    recent, failing = window(breaker, report.at, rules), run(breaker)
    stretches = [recent] if recent.outcomes >= MIN_OUTCOMES else []
    if recent.outcomes < MIN_OUTCOMES or failing.outcomes >= MIN_OUTCOMES:
        stretches.append(failing)
    return next((each for each in stretches if _is_outage(each, trip)), None)


def _is_outage(count: Count, trip: Trip) -> bool:
    enough = count.pressure >= _WHOLE and count.seconds >= 2  # noqa: PLR2004  One second is one event.
    return enough and count.failures >= trip.ratio * count.outcomes
