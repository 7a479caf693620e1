"""What one process keeps of one dependency: by what its breaker goes, the budget, and how the calls ended."""

from dataclasses import dataclass, field
from datetime import datetime

from ..retry.breaker.local import Ring
from ..retry.breaker.rules import DEFAULT_FAILURES, Rules
from ..retry.budget import Budget


@dataclass(slots=True)
class Known:
    """A dependency as this process knows it.

    Attributes:
        calls: Those that the budget has not been told of yet.
        threshold: Failures of the type met last that stop claims until the next second, where none works.
        refusals: A second, and how many jobs were not let in in it.
    """

    rules: Rules
    budget: Budget
    ring: Ring = field(default_factory=Ring)
    calls: int = 0
    threshold: int = DEFAULT_FAILURES
    refusals: tuple[int, int] = (0, 0)

    def refused(self, now: datetime) -> None:
        """Count a job that was not let in: the second, and how many in it."""
        second = int(now.timestamp())
        self.refusals = (second, self.refusals[1] + 1 if self.refusals[0] == second else 1)

    def braked(self, now: datetime) -> bool:
        """Whether nothing is to be claimed until the next second: in this one every call failed."""
        second, count = self.refusals
        worked = self.ring.last_success_at
        refused = count >= self.threshold and second == int(now.timestamp())
        return self.ring.braked(now, self.threshold) or (refused and (worked is None or worked.timestamp() < second))
