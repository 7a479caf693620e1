"""What follows a failure. `decide` is pure and total: it draws once and explains what it drew."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum


class SnoozeReason(StrEnum):
    """Why a job waits without having spent an attempt."""

    DEPENDENCY_OPEN = "dependency_open"
    BUDGET = "budget"
    RATE_LIMIT = "rate_limit"
    SHUTDOWN = "shutdown"
    OVERLOAD = "overload"
    UNKNOWN_TASK = "unknown_task"


class DeathCause(StrEnum):
    """Why a job will not be tried again by itself."""

    RETRIES_SPENT = "retries_spent"
    PERMANENT = "permanent"
    UNKNOWN_TASK = "unknown_task"
    BROKEN_STRATEGY = "broken_strategy"
    WORKER_LOST = "worker_lost"
    WAITED_TOO_LONG = "waited_too_long"


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that shaped a decision.

    Attributes:
        name: What kind of step, such as ``policy``, ``hint``, ``jitter``.
        text: What the operator reads.
        numbers: The figures behind the text, keyed by a name that ends in its unit
            (``delay_seconds``, ``queue_depth_jobs``, ``success_ratio``).
    """

    name: str
    text: str
    numbers: dict[str, float]


@dataclass(frozen=True, slots=True)
class Retry:
    """Run again at `at`; costs the attempt that failed. A foreign strategy may also move the job."""

    at: datetime
    delay: timedelta
    explanation: tuple[Step, ...]
    priority: int | None = None
    queue: str | None = None
    lock: str | None = None


@dataclass(frozen=True, slots=True)
class Snooze:
    """Run again at `at`; costs no attempt."""

    at: datetime
    delay: timedelta
    reason: SnoozeReason
    explanation: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """Not run again by itself."""

    cause: DeathCause
    explanation: tuple[Step, ...]


Decision = Retry | Snooze | DeadLetter
