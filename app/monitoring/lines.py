"""What the log says of each event of telemetry: its words, its level and its fields.

A job's arguments and secrets must never be written.
"""

import functools
import logging
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, assert_never

import structlog
from structlog.typing import EventDict, WrappedLogger

from .. import telemetry
from ..redact import redact_text
from ..retry.breaker.states import State
from ..retry.failure import Failure
from ..retry.policy import DeadLetter, Retry
from ..telemetry import Attempt
from .sink import gate, write_line

_log = structlog.stdlib.get_logger("afresh")
_running: ContextVar[tuple[Attempt, ...]] = ContextVar("running_attempts", default=())


def add_running_attempt(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Give a task's own lines the fields of the attempt that writes them; ours say themselves what they are about."""
    running = _running.get()
    return {**_about(running[-1], ""), **event} if running and event["logger"] != gate.name else event


@functools.singledispatch
def write(event: telemetry.Event) -> None:
    """Write the line of one event. Attempts that go well at once are told at DEBUG: they are the many."""
    raise TypeError(f"no line for {event!r}")


_writer: Callable[[type], Callable[[Any], None]] = functools.cache(write.dispatch)


def hear(event: telemetry.Event) -> None:
    """As `write`, in a quarter of its time: two events of each success come by, and neither is written."""
    _writer(type(event))(event)


@write.register
def _(event: telemetry.AttemptStarted) -> None:
    attempt = event.attempt
    _running.set((*_running.get(), attempt))
    if gate.isEnabledFor(logging.DEBUG):  # Asked before any word is made: two lines of each success are off.
        write_line(logging.DEBUG, _about(attempt, _attempt_text(attempt, "started")))


@write.register
def _(event: telemetry.AttemptSucceeded) -> None:
    attempt = event.attempt
    level = logging.DEBUG if attempt.attempt == 1 else logging.INFO
    if gate.isEnabledFor(level):
        write_line(level, _ended(event, _attempt_text(attempt, "succeeded")))
    _end(attempt)


@write.register
def _(event: telemetry.AttemptFailed) -> None:
    attempt = event.attempt
    if gate.isEnabledFor(logging.WARNING):
        seconds: float | None = None
        match event.decision:
            case Retry(delay=delay):
                seconds = delay.total_seconds()
                text = _attempt_text(attempt, "failed", f"Retrying in {seconds:.1f}s")
            case DeadLetter(cause=cause):
                text = _attempt_text(attempt, "failed", f"No retry: {cause}")
            case _:
                assert_never(event.decision)
        write_line(logging.WARNING, _failed(event, text, event.failure, seconds))
    _end(attempt)


@write.register
def _(event: telemetry.AttemptSnoozed) -> None:
    attempt, decision = event.attempt, event.decision
    if gate.isEnabledFor(logging.INFO):
        seconds = decision.delay.total_seconds()
        text = _attempt_text(attempt, "snoozed", f"Waiting {seconds:.1f}s at no cost: {decision.reason}")
        write_line(logging.INFO, _failed(event, text, event.failure, seconds))
    _end(attempt)


@write.register
def _(event: telemetry.AttemptAborted) -> None:
    attempt = event.attempt
    if gate.isEnabledFor(logging.INFO):
        write_line(logging.INFO, _ended(event, _attempt_text(attempt, "aborted")))
    _end(attempt)


@write.register
def _(event: telemetry.JobCoalesced) -> None:
    _job_line(logging.INFO, event.attempt, "coalesced", "A waiting job with the same queueing lock does its work")


@write.register
def _(event: telemetry.JobReleased) -> None:
    _job_line(logging.INFO, event.attempt, "released", "It goes back to its queue at no cost")


@write.register
def _(event: telemetry.JobBuried) -> None:
    _job_line(logging.ERROR, event.attempt, "dead-lettered", event.reason, cause=event.cause.value)


@write.register
def _(event: telemetry.JobRescued) -> None:
    fields = {"rescues": event.rescues, "lost_worker_id": event.lost_worker_id}
    _job_line(logging.WARNING, event.attempt, "rescued", "Its worker was lost", **fields)


@write.register
def _(event: telemetry.OwnershipLost) -> None:
    _job_line(logging.WARNING, event.attempt, "discarded", "Its job had been taken over meanwhile")


@write.register
def _(event: telemetry.EndRefused) -> None:
    then = f"It is tried again: {event.error}"
    _job_line(logging.WARNING, event.attempt, "end refused", then, error_message=event.error)


@write.register
def _(event: telemetry.ProgressRefused) -> None:
    then = f"The report is dropped: {event.error}"
    _job_line(logging.WARNING, event.attempt, "progress refused", then, error_message=event.error)


@write.register
def _(event: telemetry.JobsClaimed) -> None:
    _group_line(f"Claimed {event.count} jobs at once")


@write.register
def _(event: telemetry.JobsSettled) -> None:
    _group_line(f"Wrote the ends of {event.count} runs at once")


@write.register
def _(event: telemetry.JobsSubmitted) -> None:
    _group_line(f"Made {event.count} jobs for a request")


@write.register
def _(event: telemetry.SubmissionRepeated) -> None:
    _group_line(f"Made none of {event.count} jobs for a request whose Idempotency-Key is known")


def _group_line(text: str) -> None:
    if gate.isEnabledFor(logging.DEBUG):
        _log.debug(text)


@write.register
def _(event: telemetry.WorkerStarted) -> None:
    queues = ", ".join(event.queues) or "all queues"
    _log.info(f"Worker started on {queues}", worker=event.worker, concurrency=event.concurrency)


@write.register
def _(event: telemetry.WorkerStopped) -> None:
    _log.info("Worker stopped", worker=event.worker)


@write.register
def _(event: telemetry.WorkerOverloaded) -> None:
    _log.warning("Worker overloaded: it takes no more jobs", **_load(event))


@write.register
def _(event: telemetry.WorkerRelieved) -> None:
    _log.info("Worker relieved: it takes jobs again", **_load(event))


def _load(event: telemetry.WorkerOverloaded | telemetry.WorkerRelieved) -> dict[str, Any]:
    return {
        "worker": event.worker,
        "memory_percent": round(event.memory_percent, 1),
        "cpu_percent": round(event.cpu_percent, 1),
    }


@write.register
def _(event: telemetry.BreakerMoved) -> None:
    moved = event.transition
    level = logging.WARNING if moved.after in _CALLED_NO_MORE else logging.INFO
    fields = {"dependency": moved.name, "state": moved.after.value, "state_before": moved.before.value}
    text = f"Breaker of {moved.name} is {moved.after.replace('_', '-')}: {moved.cause}"
    _log.log(level, text, generation=moved.generation, **fields)


_CALLED_NO_MORE = frozenset({State.OPEN, State.HELD, State.ISOLATED})


@write.register
def _(event: telemetry.HistoryPurged) -> None:
    removed = {f"removed_{kind}": rows for kind, rows in event.removed.items()}
    said = ", ".join(f"{rows:,} {kind.replace('_', ' ')}" for kind, rows in event.removed.items()) or "nothing"
    left = "" if event.is_done else "; more is left"
    level = logging.INFO if removed else logging.DEBUG
    text = f"History purged: {said} in {event.duration_seconds:.1f}s{left}"
    _log.log(level, text, duration_seconds=event.duration_seconds, **removed)


@write.register
def _(event: telemetry.RetriesReported) -> None:
    share = "none has ended" if event.share_ended_well is None else f"{event.share_ended_well:.0%} ended well"
    text = (
        f"Retries of {event.day}: {event.retries:,}, {share}; {event.succeeded:,} of {event.jobs:,} jobs succeeded, "
        f"{event.dead_letters:,} died"
    )
    fields = {"jobs": event.jobs, "succeeded": event.succeeded, "retries": event.retries}
    _log.info(text, day=event.day.isoformat(), dead_letters=event.dead_letters, **fields)


@write.register
def _(event: telemetry.DatabaseLost) -> None:
    _log.error("Database lost", error_message=event.error)


@write.register
def _(event: telemetry.DatabaseBack) -> None:
    _log.info(f"Database back after {event.outage_seconds:.1f}s", outage_seconds=event.outage_seconds)


def _job_line(level: int, attempt: Attempt, outcome: str, then: str, **fields: object) -> None:
    if gate.isEnabledFor(level):
        text = redact_text(f"Background task {outcome}: {_spoken(attempt)}. {then}")
        write_line(level, {**_about(attempt, text), **fields})


def _attempt_text(attempt: Attempt, outcome: str, then: str = "") -> str:
    """What became of an attempt, in a sentence that holds nothing that has to be masked."""
    of = "" if attempt.max_attempts is None else f"/{attempt.max_attempts}"
    text = f"Background task attempt {attempt.attempt}{of} {outcome}: {_spoken(attempt)}"
    return f"{text}. {then}" if then else text


def _spoken(attempt: Attempt) -> str:
    """A task's name as people say it, which is the function's; the field has the full one."""
    return attempt.task_name if attempt.job_id is None else _function(attempt.task_name)


@functools.lru_cache(maxsize=1000)
def _function(task_name: str) -> str:
    return redact_text(task_name.rpartition(".")[2])


def _about(attempt: Attempt, text: str) -> EventDict:
    correlation_id = attempt.correlation_id
    return {
        "event": text,
        "correlation_id": None if correlation_id is None else redact_text(correlation_id),
        "job_id": attempt.job_id,
        "task_name": attempt.task_name,
        "operation_type": attempt.operation_type,
        "attempt": attempt.attempt,
        "max_attempts": attempt.max_attempts,
    }


def _ended(event: telemetry.AttemptSucceeded | telemetry.AttemptAborted, text: str) -> EventDict:
    line = _about(event.attempt, text)
    line["duration_seconds"] = event.duration_seconds
    return line


def _failed(
    event: telemetry.AttemptFailed | telemetry.AttemptSnoozed, text: str, failure: Failure | None, seconds: float | None
) -> EventDict:
    line = _about(event.attempt, text)
    if failure is not None:
        line["error_type"] = failure.exception_type
        line["error_message"] = redact_text(failure.message)
        line["failure_type"] = str(failure.type)
    line["retry_delay_seconds"] = seconds
    line["reason"] = redact_text(event.reason)
    line["duration_seconds"] = event.duration_seconds
    return line


def _end(attempt: Attempt) -> None:
    if running := _running.get():
        _running.set(tuple(each for each in running if each != attempt))
