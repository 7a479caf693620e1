"""Log lines: ours from telemetry, Procrastinate's and uvicorn's from `logging`, through one pipeline.

A job's arguments and secrets must never be written, whoever logs them.
"""

import functools
import logging
import sys
from collections.abc import Callable
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from typing import Any, TextIO, assert_never, cast

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from .. import telemetry
from ..config import LogSettings
from ..redact import redact_text
from ..retry.breaker.states import State
from ..retry.failure import Failure
from ..retry.policy import DeadLetter, Retry
from ..telemetry import Attempt
from .rendering import as_json, drop_unknown, plain, without_arguments, without_secrets

_log = structlog.stdlib.get_logger("afresh")
_gate = logging.getLogger("afresh")  # Asked first, so that a line nobody reads costs next to nothing.
_running: ContextVar[tuple[Attempt, ...]] = ContextVar("running_attempts", default=())
_unsubscribe: list[Callable[[], None]] = []


def configure_logs(settings: LogSettings, stream: TextIO | None = None) -> None:
    """Write every line to `stream` (standard error) in one form, and turn telemetry into lines; replaces itself.

    Where LOG_LEVEL is not set, the level given to Procrastinate's command line (``-v``, ``--log-level``) stands.
    """
    stream = stream or sys.stderr
    root = logging.getLogger()
    # Exactly this type: what basicConfig installs, and we. Others, such as a test's capture, are somebody's own.
    ours = [handler for handler in root.handlers if type(handler) is logging.StreamHandler]
    level = root.level if ours and "level" not in settings.model_fields_set else logging.getLevelName(settings.level)
    for handler in ours:
        root.removeHandler(handler)
    root.addHandler(_handler(settings, stream))
    root.setLevel(level)
    _adopt_others(root.level)
    structlog.configure(
        processors=[
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    stop_logs()
    _unsubscribe.append(telemetry.subscribe(_hear))


def stop_logs() -> None:
    """Turn no more events into lines; other loggers go on."""
    while _unsubscribe:
        _unsubscribe.pop()()


def _handler(settings: LogSettings, stream: TextIO) -> logging.Handler:
    common: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        _add_running_attempt,
        # Tracebacks are plain in both forms: the pretty ones print local variables, and so a job's arguments.
        structlog.processors.format_exc_info,
        without_secrets,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    rendering: list[Processor]
    if settings.format == "json":
        rendering = [structlog.processors.JSONRenderer(serializer=as_json)]
    elif stream.isatty():
        colourful = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback, pad_event_to=0)
        rendering = [drop_unknown, colourful]
    else:
        rendering = [plain]
    handler = logging.StreamHandler(stream)
    handler.addFilter(without_arguments)
    handler.setFormatter(_Formatter(common, rendering))
    return handler


class _Formatter(structlog.stdlib.ProcessorFormatter):
    """structlog's, with a short way for the lines of `_line`: a dependency that is down makes thousands in a second."""

    def __init__(self, common: list[Processor], rendering: list[Processor]) -> None:
        super().__init__(processors=[*common, self.remove_processors_meta, *rendering])
        self._rendering = rendering

    def format(self, record: logging.LogRecord) -> str:
        """One record as a line."""
        if not hasattr(record, _OURS):
            return super().format(record)
        line: Any = _completed(record)
        for step in self._rendering:
            line = step(_gate, record.levelname, line)
        return str(line)


_OURS = "_written_by_afresh"

_MAY_QUOTE = ("event", "error_message", "reason", "correlation_id")
"""The fields of our own lines whose text comes from others; the rest are names from code, and numbers."""


def _completed(record: logging.LogRecord) -> EventDict:
    """What the common steps make of a line of `_line`, whose names are ours and whose values are text and numbers."""
    line = dict(cast("EventDict", record.msg))
    for name in _MAY_QUOTE:
        if isinstance(said := line.get(name), str):
            line[name] = redact_text(said)
    line["level"] = _level_name(record.levelno)
    line["logger"] = record.name
    line["timestamp"] = f"{_second(int(record.created))}.{int(record.created % 1 * 1e6):06d}Z"
    return line


@functools.lru_cache(maxsize=8)
def _second(epoch: int) -> str:
    return datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%S")


@functools.cache
def _level_name(level: int) -> str:
    return logging.getLevelName(level).lower()


def _adopt_others(level: int) -> None:
    """Let uvicorn's lines come to us, and quieten those who tell what we tell better, or tell too much."""
    for name in ("uvicorn", "uvicorn.access", "uvicorn.error"):
        logger = logging.getLogger(name)
        if logger.hasHandlers():  # Else its lines are not wanted: that is all that --no-access-log does.
            logger.handlers.clear()
            logger.propagate = True
    for name in ("procrastinate", "httpx", "httpcore"):  # httpx logs whole addresses, with their query, at INFO.
        logging.getLogger(name).setLevel(logging.NOTSET if level <= logging.DEBUG else logging.WARNING)


def _add_running_attempt(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Give a task's own lines the fields of the attempt that writes them; ours say themselves what they are about."""
    running = _running.get()
    return {**_fields(running[-1]), **event} if running and event["logger"] != _gate.name else event


@functools.singledispatch
def write(event: telemetry.Event) -> None:
    """Write the line of one event. Attempts that go well at once are told at DEBUG: they are the many."""
    raise TypeError(f"no line for {event!r}")


_writer: Callable[[type], Callable[[Any], None]] = functools.cache(write.dispatch)


def _hear(event: telemetry.Event) -> None:
    """As `write`, in a quarter of its time: two events of each success come by, and neither is written."""
    _writer(type(event))(event)


@write.register
def _(event: telemetry.AttemptStarted) -> None:
    _running.set((*_running.get(), event.attempt))
    _attempt_line(logging.DEBUG, event.attempt, "started")


@write.register
def _(event: telemetry.AttemptSucceeded) -> None:
    level = logging.DEBUG if event.attempt.attempt == 1 else logging.INFO
    _attempt_line(level, event.attempt, "succeeded", duration_seconds=event.duration_seconds)
    _end(event.attempt)


@write.register
def _(event: telemetry.AttemptFailed) -> None:
    match event.decision:
        case Retry(delay=delay):
            then, more = f"Retrying in {_seconds(delay)}", {"retry_delay_seconds": delay.total_seconds()}
        case DeadLetter(cause=cause):
            then, more = f"No retry: {cause}", {}
        case _:
            assert_never(event.decision)
    fields = {**_error(event.failure), **more, "reason": event.reason, "duration_seconds": event.duration_seconds}
    _attempt_line(logging.WARNING, event.attempt, "failed", then, **fields)
    _end(event.attempt)


@write.register
def _(event: telemetry.AttemptSnoozed) -> None:
    delay = event.decision.delay
    fields = {
        **(_error(event.failure) if event.failure else {}),
        "retry_delay_seconds": delay.total_seconds(),
        "reason": event.reason,
        "duration_seconds": event.duration_seconds,
    }
    then = f"Waiting {_seconds(delay)} at no cost: {event.decision.reason}"
    _attempt_line(logging.INFO, event.attempt, "snoozed", then, **fields)
    _end(event.attempt)


@write.register
def _(event: telemetry.AttemptAborted) -> None:
    _attempt_line(logging.INFO, event.attempt, "aborted", duration_seconds=event.duration_seconds)
    _end(event.attempt)


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
def _(event: telemetry.JobsClaimed) -> None:
    _group_line(f"Claimed {event.count} jobs at once")


@write.register
def _(event: telemetry.JobsSettled) -> None:
    _group_line(f"Wrote the ends of {event.count} runs at once")


@write.register
def _(event: telemetry.JobsSubmitted) -> None:
    _group_line(f"Made {event.count} jobs for a request")


@write.register
def _(_: telemetry.SubmissionRepeated) -> None:
    _group_line("Made nothing for a request whose Idempotency-Key is known")


def _group_line(text: str) -> None:
    if _gate.isEnabledFor(logging.DEBUG):
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


def _attempt_line(level: int, attempt: Attempt, outcome: str, then: str = "", **fields: object) -> None:
    if not _gate.isEnabledFor(level):  # Asked before any word is made: two lines of each success are off.
        return
    of = "" if attempt.max_attempts is None else f"/{attempt.max_attempts}"
    _line(level, attempt, f"attempt {attempt.attempt}{of} {outcome}", then, fields)


def _job_line(level: int, attempt: Attempt, outcome: str, then: str, **fields: object) -> None:
    _line(level, attempt, outcome, then, fields)


def _line(level: int, attempt: Attempt, outcome: str, then: str, fields: dict[str, object]) -> None:
    if not _gate.isEnabledFor(level):
        return
    # A job's message has the function's name, as people say it; the field has the full one.
    name = attempt.task_name if attempt.job_id is None else attempt.task_name.rpartition(".")[2]
    text = f"Background task {outcome}: {name}"
    event = {"event": f"{text}. {then}" if then else text, **_fields(attempt), **fields}
    # As structlog would hand it on, without looking for the caller, which is this line: it doubles the cost of a line.
    meta = {"_logger": _gate, "_name": _level_name(level), _OURS: True}
    _gate.handle(_gate.makeRecord(_gate.name, level, __file__, 0, event, (), None, extra=meta))


def _fields(attempt: Attempt) -> dict[str, object]:
    return {
        "correlation_id": attempt.correlation_id,
        "job_id": attempt.job_id,
        "task_name": attempt.task_name,
        "operation_type": attempt.operation_type,
        "attempt": attempt.attempt,
        "max_attempts": attempt.max_attempts,
    }


def _error(failure: Failure) -> dict[str, object]:
    return {"error_type": failure.exception_type, "error_message": failure.message, "failure_type": failure.type.value}


def _seconds(delay: timedelta) -> str:
    return f"{delay.total_seconds():.1f}s"


def _end(attempt: Attempt) -> None:
    if running := _running.get():
        _running.set(tuple(each for each in running if each != attempt))
