"""What one process keeps of one dependency: by what its breaker goes, the budget, and how the calls ended."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from ..retry.breaker.local import Ring
from ..retry.breaker.rules import DEFAULT_FAILURES, Rules
from ..retry.budget import Budget

_LONG_AGO = datetime.min.replace(tzinfo=UTC)


@dataclass(slots=True)
class Known:
    """A dependency as this process knows it.

    Attributes:
        calls: Those that the budget has not been told of yet.
        threshold: Failures of the type met last that stop claims until the next second, where none works.
        refusals: A second, and how many jobs were not let in in it.
        turn_at: When the last of those is to look again that stand in line, refused by a guard inside their tasks.
    """

    rules: Rules
    budget: Budget
    ring: Ring = field(default_factory=Ring)
    calls: int = 0
    threshold: int = DEFAULT_FAILURES
    refusals: tuple[int, int] = (0, 0)
    turn_at: datetime = _LONG_AGO

    def refused(self, now: datetime) -> None:
        """Count a job that was not let in: the second, and how many in it."""
        second = int(now.timestamp())
        self.refusals = (second, self.refusals[1] + 1 if self.refusals[0] == second else 1)

    def turn(self, first: datetime, gap: timedelta, *, now: datetime, within: timedelta) -> datetime | None:
        """When a job that was refused looks again: at the first look, or a gap behind the job before it in line.

        None: that would be later than both the first look and `within`; not all of those who are refused come for one
        look, each of which starts a job.
        """
        latest = max(first, now + within)
        # What lies beyond is from a time when the next look was further off.
        at = max(first, self.turn_at + gap) if now < self.turn_at <= latest else first
        if at > latest:
            return None
        self.turn_at = at
        return at

    def braked(self, now: datetime) -> bool:
        """Whether nothing is to be claimed until the next second: in this one every call failed."""
        second, count = self.refusals
        worked = self.ring.last_success_at
        refused = count >= self.threshold and second == int(now.timestamp())
        return self.ring.braked(now, self.threshold) or (refused and (worked is None or worked.timestamp() < second))
