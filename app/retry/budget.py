"""How many retries a dependency is owed by one process: a token bucket that calls fill and retries empty.

While calls work, every fifth of them may be a retry. On a dead dependency nothing fills the bucket but its floor, so
the extra calls are bounded by the number of processes, whatever the number of jobs. Empty is never a failure: the
retry gets the next free token's time, and those behind it later ones.
"""

from dataclasses import dataclass, replace
from datetime import datetime

from .failure import FailureType

PER_CALL = 0.2
FLOOR_PER_SECOND = 0.2
CAPACITY = 50.0
RETRY_COST = 1.0
TIMEOUT_COST = 2.0
"""A time-out held a slot here, and work there, for its whole length."""

DEEPEST_DEBT = 3600 * FLOOR_PER_SECOND
"""No retry is put off for more than about an hour."""


@dataclass(frozen=True, slots=True)
class Budget:
    """One dependency's budget in one process.

    Attributes:
        tokens: Below zero they are promised already.
        at: When they were counted; None: full, and nothing happened yet.
        per_call: What each call adds (RETRY_BUDGET); 0 leaves the floor alone.
    """

    tokens: float = CAPACITY
    at: datetime | None = None
    per_call: float = PER_CALL


def earned(budget: Budget, calls: int, now: datetime) -> Budget:
    """The budget after so many more calls, whatever their outcome, and the time since."""
    since = 0.0 if budget.at is None else max(0.0, (now - budget.at).total_seconds())
    tokens = budget.tokens + budget.per_call * calls + FLOOR_PER_SECOND * since
    return replace(budget, tokens=min(CAPACITY, tokens), at=now)


def cost(kind: FailureType) -> float:
    """Tokens that a retry after such a failure takes."""
    return TIMEOUT_COST if kind is FailureType.TRANSIENT_TIMEOUT else RETRY_COST


def wait_seconds(budget: Budget, tokens: float) -> float:
    """How long a retry of that cost has to wait; 0: it is affordable now. `budget` is counted to now."""
    return max(0.0, tokens - budget.tokens) / FLOOR_PER_SECOND


def spent(budget: Budget, tokens: float) -> Budget:
    """The budget after a retry was decided, be it now or later."""
    return replace(budget, tokens=max(-DEEPEST_DEBT, budget.tokens - tokens))
