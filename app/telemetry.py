"""What happened, as frozen values. The spine emits them; logs and metrics subscribe.

Nothing here may decide anything or be waited for: with every subscriber gone, jobs end the same way.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

from .retry.breaker.states import Transition
from .retry.failure import Failure
from .retry.policy import DeadLetter, DeathCause, Retry, Snooze


class Attempt(NamedTuple):
    """One run of a job, or of code under `retrying`, which has no job and no queue.

    Attributes:
        task_name: The task's full name, or the operation's.
        attempt: From 1; an attempt that is given back without cost keeps its number for the next run.
        max_attempts: Retries + 1, as far as is known before a failure has a policy; None where unlimited.
        operation_type: The metrics' and logs' name for a task's `task_type`.
        track_metrics: False if it is to be logged but not counted.
    """

    task_name: str
    attempt: int
    max_attempts: int | None = None
    job_id: int | None = None
    queue: str | None = None
    operation_type: str | None = None
    correlation_id: str | None = None
    track_metrics: bool = True


@dataclass(frozen=True, slots=True)
class AttemptStarted:
    """The task is about to be called."""

    attempt: Attempt


@dataclass(frozen=True, slots=True)
class AttemptSucceeded:
    """The task returned, and that is stored."""

    attempt: Attempt
    duration_seconds: float


@dataclass(frozen=True, slots=True)
class AttemptFailed:
    """The task failed at the cost of an attempt, and what follows is stored.

    `reason` is the decision's explanation in one line, without secrets.
    """

    attempt: Attempt
    duration_seconds: float
    failure: Failure
    decision: Retry | DeadLetter
    reason: str


@dataclass(frozen=True, slots=True)
class AttemptAborted:
    """The attempt ended because somebody asked for it."""

    attempt: Attempt
    duration_seconds: float


@dataclass(frozen=True, slots=True)
class AttemptSnoozed:
    """The attempt ended at no cost, and its job waits; with the failure where one led to it."""

    attempt: Attempt
    duration_seconds: float
    decision: Snooze
    reason: str
    failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class JobCoalesced:
    """The job ended because a waiting twin with the same queueing lock does its work."""

    attempt: Attempt


@dataclass(frozen=True, slots=True)
class JobReleased:
    """A claimed job went back to the queue before it ended, at no cost: its worker stops, or has no room."""

    attempt: Attempt


@dataclass(frozen=True, slots=True)
class JobBuried:
    """A dead letter was written: the job will not be tried again by itself."""

    attempt: Attempt
    cause: DeathCause
    reason: str


@dataclass(frozen=True, slots=True)
class JobRescued:
    """The job of a lost worker was taken over. `rescues` counts this one."""

    attempt: Attempt
    rescues: int
    lost_worker_id: int | None


@dataclass(frozen=True, slots=True)
class OwnershipLost:
    """A settlement was refused: the job had been taken over meanwhile, and this run's outcome is discarded."""

    attempt: Attempt


@dataclass(frozen=True, slots=True)
class EndRefused:
    """The database did not take how a run ended, which is tried again; `error` is what it said, in one line."""

    attempt: Attempt
    error: str


@dataclass(frozen=True, slots=True)
class ProgressRefused:
    """The database did not take a progress report, which is dropped; `error` is what it said, in one line."""

    attempt: Attempt
    error: str


@dataclass(frozen=True, slots=True)
class JobsClaimed:
    """A worker took so many jobs with one statement. Not told of a claim that found none."""

    count: int


@dataclass(frozen=True, slots=True)
class JobsSettled:
    """The ends of so many runs were written as one group."""

    count: int


@dataclass(frozen=True, slots=True)
class JobsSubmitted:
    """So many jobs were made for one request."""

    count: int


@dataclass(frozen=True, slots=True)
class SubmissionRepeated:
    """A request whose Idempotency-Key is known made none of so many jobs."""

    count: int


@dataclass(frozen=True, slots=True)
class WorkerStarted:
    """A worker takes jobs. No queues: of all of them."""

    worker: str
    queues: tuple[str, ...]
    concurrency: int


@dataclass(frozen=True, slots=True)
class WorkerStopped:
    """A worker let go of its last job."""

    worker: str


@dataclass(frozen=True, slots=True)
class WorkerOverloaded:
    """A worker takes no more jobs, because its machine or container is fuller than it may be."""

    worker: str
    memory_percent: float
    cpu_percent: float


@dataclass(frozen=True, slots=True)
class WorkerRelieved:
    """It takes jobs again."""

    worker: str
    memory_percent: float
    cpu_percent: float


@dataclass(frozen=True, slots=True)
class BreakerMoved:
    """A breaker came to another state, and that is stored. Emitted once, by the process that moved it."""

    transition: Transition


@dataclass(frozen=True, slots=True)
class HistoryPurged:
    """A run of the purge has ended. `removed` tells rows by kind; not done: another run goes on from there."""

    removed: Mapping[str, int]
    duration_seconds: float
    is_done: bool


@dataclass(frozen=True, slots=True)
class RetriesReported:
    """The retry report of a day was made."""

    day: date
    jobs: int
    succeeded: int
    retries: int
    share_ended_well: float | None
    dead_letters: int


@dataclass(frozen=True, slots=True)
class DatabaseLost:
    """The database stopped answering; work goes on when it is back."""

    error: str


@dataclass(frozen=True, slots=True)
class DatabaseBack:
    """The database answers again."""

    outage_seconds: float


Event = (
    AttemptStarted
    | AttemptSucceeded
    | AttemptFailed
    | AttemptAborted
    | AttemptSnoozed
    | JobCoalesced
    | JobReleased
    | JobBuried
    | JobRescued
    | OwnershipLost
    | EndRefused
    | ProgressRefused
    | JobsClaimed
    | JobsSettled
    | JobsSubmitted
    | SubmissionRepeated
    | WorkerStarted
    | WorkerStopped
    | WorkerOverloaded
    | WorkerRelieved
    | BreakerMoved
    | HistoryPurged
    | RetriesReported
    | DatabaseLost
    | DatabaseBack
)
Subscriber = Callable[[Event], None]

_logger = logging.getLogger(__name__)
_subscribers: dict[object, Subscriber] = {}


def subscribe(subscriber: Subscriber) -> Callable[[], None]:
    """Call `subscriber` with every event from now on, in the emitting thread; return what ends that.

    A subscriber must not block: a job waits for it.
    """
    subscription = object()
    _subscribers[subscription] = subscriber

    def unsubscribe() -> None:
        _subscribers.pop(subscription, None)

    return unsubscribe


def emit(event: Event) -> None:
    """Tell every subscriber, in the order in which they subscribed. Never raises."""
    if not _subscribers:
        return
    for subscriber in tuple(_subscribers.values()):  # A copy: a subscriber may end its own subscription.
        try:
            subscriber(event)
        except Exception:  # A fault of what watches must reach neither the job nor the other watchers.
            _logger.exception("Subscriber %r failed on %s", subscriber, type(event).__name__)
