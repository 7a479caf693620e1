"""What may follow a failure, and the policies that rule it. Values only: `decide` draws, here nothing is drawn."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from math import isfinite
from types import MappingProxyType
from typing import NamedTuple

from .backoff import Backoff, Jitter, planned, reading
from .failure import FailureType


class SnoozeReason(StrEnum):
    """Why a job waits without having spent an attempt."""

    DEPENDENCY_OPEN = "dependency_open"
    DEPENDENCY_HELD = "dependency_held"  # Until credentials or setting are mended, however late.
    BUDGET = "budget"
    RATE_LIMIT = "rate_limit"
    SHUTDOWN = "shutdown"
    UNKNOWN_TASK = "unknown_task"
    OFF_PEAK = "off_peak"


class DeathCause(StrEnum):
    """Why a job will not be tried again by itself."""

    RETRIES_SPENT = "retries_spent"
    PERMANENT = "permanent"
    UNKNOWN_TASK = "unknown_task"
    BROKEN_STRATEGY = "broken_strategy"
    WORKER_LOST = "worker_lost"
    WAITED_TOO_LONG = "waited_too_long"


class Step(NamedTuple):
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


class Retry(NamedTuple):
    """Run again at `at`; costs the attempt that failed. A foreign strategy may also move the job."""

    at: datetime
    delay: timedelta
    explanation: tuple[Step, ...]
    priority: int | None = None
    queue: str | None = None
    lock: str | None = None


class Snooze(NamedTuple):
    """Run again at `at`; costs no attempt."""

    at: datetime
    delay: timedelta
    reason: SnoozeReason
    explanation: tuple[Step, ...]


class DeadLetter(NamedTuple):
    """Not run again by itself."""

    cause: DeathCause
    explanation: tuple[Step, ...]


Decision = Retry | Snooze | DeadLetter

LONGEST_DELAY = timedelta(days=3653)
"""Ten years. A longer `max_delay` is refused: it is a mistake, and dates end in the year 9999."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How often to retry, and how long to wait before each retry.

    Attributes:
        name: What lists of policies call it.
        max_retries: Retries after the first attempt; 0 is one attempt, None is no limit.
        backoff: The curve of the waits.
        initial_delay: The first wait.
        multiplier: Growth of an exponential backoff per retry, at least 1.
        max_delay: The cap; only a server's hint may go beyond it.
        jitter: How each wait is spread.
        retry_on: If not empty, only these classes are retried, whatever their failure type says.
        give_up_on: These classes are never retried. Wins over `retry_on`.
        track_metrics: Whether runs under this policy are counted.
        breaker_failures: Failures that open a dependency's breaker; None where this policy has no say.
        break_duration: How long it then stays open.
        breaker_ratio: Least share of failures at which it opens, where this differs from the breaker's own.
        breaker_holds: Opened by this, it stays open until an operator or a probe releases it.
        initial_seconds, max_seconds, curve: Worked out once, because `decide` has 10 µs.

    Raises:
        ValueError: A number is out of its range.
    """

    name: str = "custom"
    max_retries: int | None = 3
    backoff: Backoff = Backoff.EXPONENTIAL
    initial_delay: timedelta = timedelta(seconds=1)
    multiplier: float = 2.0
    max_delay: timedelta = timedelta(seconds=300)
    jitter: Jitter = Jitter.PROPORTIONAL
    retry_on: tuple[type[BaseException], ...] = ()
    give_up_on: tuple[type[BaseException], ...] = ()
    track_metrics: bool = True
    breaker_failures: int | None = None
    break_duration: timedelta | None = None
    breaker_ratio: float | None = None
    breaker_holds: bool = False
    initial_seconds: float = field(init=False, repr=False, compare=False)
    max_seconds: float = field(init=False, repr=False, compare=False)
    curve: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.max_retries is not None and self.max_retries < 0:
            raise ValueError(f"max_retries must be 0 or more, or None for no limit; got {self.max_retries}")
        if self.initial_delay < timedelta(0):
            raise ValueError(f"initial_delay must not be negative; got {self.initial_delay}")
        if not timedelta(0) <= self.max_delay <= LONGEST_DELAY:
            raise ValueError(f"max_delay must be between 0 and ten years; got {self.max_delay}")
        if not (isfinite(self.multiplier) and self.multiplier >= 1):
            raise ValueError(f"multiplier must be 1 or more; got {self.multiplier}")
        initial = self.initial_delay.total_seconds()
        object.__setattr__(self, "initial_seconds", initial)
        object.__setattr__(self, "max_seconds", self.max_delay.total_seconds())
        object.__setattr__(self, "curve", reading(self.backoff, initial=initial, multiplier=self.multiplier))

    def __hash__(self) -> int:
        return hash((self.initial_seconds, self.max_retries))

    def wait_seconds(self, retry: int) -> float:
        """The wait before retry number `retry` (1 is the first), without jitter."""
        return planned(
            self.backoff,
            retry,
            initial=self.initial_seconds,
            multiplier=self.multiplier,
            cap=self.max_seconds,
        )


def schedule(policy: RetryPolicy, retries: int) -> list[timedelta]:
    """The first `retries` waits of a policy, or fewer where it allows fewer, without jitter."""
    count = retries if policy.max_retries is None else min(retries, policy.max_retries)
    return [timedelta(seconds=policy.wait_seconds(retry)) for retry in range(1, count + 1)]


@dataclass(frozen=True, slots=True)
class ByType:
    """No ``retry=`` was given: the policy of the failure's type decides.

    Attributes:
        policies: One for each of the sixteen types.
        max_retries_bound: MAX_RETRIES where it was set explicitly; no type retries more often than this.

    Raises:
        ValueError: A type has no policy.
    """

    policies: Mapping[FailureType, RetryPolicy]
    max_retries_bound: int | None = None

    def __post_init__(self) -> None:
        missing = [each.value for each in FailureType if each not in self.policies]
        if missing:
            raise ValueError(f"no policy for {', '.join(missing)}")


class Fixed(NamedTuple):
    """A policy of ours was given: it fixes count and schedule, and the failure's type may veto."""

    policy: RetryPolicy


class ForeignRetry(NamedTuple):
    """What a foreign strategy answered. A naive `at` is read as UTC."""

    at: datetime
    priority: int | None = None
    queue: str | None = None
    lock: str | None = None


class ForeignBroken(NamedTuple):
    """A foreign strategy raised instead of answering."""

    error: str


class Foreign(NamedTuple):
    """A strategy that is not ours was asked, and alone decides. A verdict of None is its no."""

    strategy_name: str
    verdict: ForeignRetry | ForeignBroken | None


Tier = ByType | Fixed | Foreign


class JobLimits(NamedTuple):
    """What the job itself, and its task, allow.

    Attributes:
        max_retries: The job's own count, in place of its policy's; None where it was not set.
            Not bounded by MAX_RETRIES, and without effect on a foreign strategy.
        deadline: The job does not run again after this; an aware datetime.
        waited: How long it has waited already, by reason, without spending an attempt.
        idempotent: False if it must not run again while its effect is unknown.
    """

    max_retries: int | None = None
    deadline: datetime | None = None
    waited: Mapping[SnoozeReason, timedelta] = MappingProxyType({})
    idempotent: bool = True
