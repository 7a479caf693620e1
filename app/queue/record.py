"""From a run to the row that is stored about it: the fields of `afresh.settle_endings`, one function per ending."""

import traceback
from collections import deque
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, assert_never

from ..redact import known_harmless, redact_text
from ..retry import explain
from ..retry.failure import Failure
from ..retry.policy import DeadLetter, Decision, Fixed, Retry, Snooze
from ..telemetry import Attempt, Event
from .claim import Claimed
from .settle import Settlement
from .storable import storable
from .task import options_of

if TYPE_CHECKING:
    from .app import Afresh
    from .call import Prepared

LONGEST_TRACEBACK = 16_000
"""Characters kept of a traceback: its end, where the error is."""

_ROOM = __package__

DEEPEST_TRACEBACK = 50
"""Frames that are formatted."""

MOST_KNOWN_FRAMES = 2_000
"""Formatted frames kept for the next failure at the same place."""

NUMBERS_ALONE = frozenset({"policy", "jitter", "contention", "learned", "load", "off_peak", "snooze"})
"""Steps in which no word comes from the failure: each has other numbers, so each would be searched for secrets anew."""

MOST_KNOWN_FAILURES = 200
"""Failures whose fields are kept for the next time."""

SAYS_MORE = (SyntaxError, NameError, AttributeError, ImportError, BaseExceptionGroup)
"""Of these the standard library says more than name and text: a place in the source, a suggestion, what is in it."""


class _Known(NamedTuple):
    """A failure met before: where its traceback stopped, and the fields that are stored."""

    failure: Failure
    places: object
    fields: dict[str, Any]


_known_frames: dict[tuple[str, str, int, int], str] = {}
_known_failures: dict[int, _Known] = {}


class Run(NamedTuple):
    """One run that has ended."""

    claimed: Claimed
    attempt: Attempt
    began: datetime
    ended: datetime
    prepared: "Prepared | None"

    @property
    def seconds(self) -> float:
        """How long it took."""
        return (self.ended - self.began).total_seconds()

    def settlement(
        self,
        ending: dict[str, Any] | None,
        *events: Event,
        result: bytes | None = None,
        note: str | None = None,
        checkpoints_of: tuple[int, ...] = (),
    ) -> Settlement:
        """The settlement of this run."""
        claimed = self.claimed
        return Settlement(
            claimed.job, claimed.job_id, claimed.claim, self.attempt, events, ending, result, note, checkpoints_of
        )


class Unattended(NamedTuple):
    """A job that nobody here runs, and what its options say that lines of the log tell."""

    job_id: int
    task_name: str
    queue: str
    attempts: int
    correlation_id: str | None = None
    task_type: str | None = None
    max_retries: int | None = None

    def attempt(self, app: "Afresh") -> Attempt:
        """The attempt that it has lost, or will not have, as telemetry tells of it."""
        task = app.tasks.get(self.task_name)
        tier = None if task is None else app.engine.tier_of(task)
        retries = self.max_retries
        if retries is None and isinstance(tier, Fixed):
            retries = tier.policy.max_retries
        return Attempt(
            self.task_name,
            self.attempts + 1,
            None if retries is None else retries + 1,
            self.job_id,
            self.queue,
            self.task_type or (None if task is None else options_of(task).task_type),
            self.correlation_id,
        )


class Explained(NamedTuple):
    """Why a decision was drawn, without secrets: its steps as they are stored, and one line of them."""

    steps: list[dict[str, Any]]
    reason: str


def explained(decision: Decision) -> Explained:
    """The explanation of a decision, masked once for all who store it or tell it."""
    steps = explain.as_json(decision.explanation)
    for step in steps:
        if step["name"] not in NUMBERS_ALONE:
            step["text"] = redact_text(step["text"])
    return Explained(steps, known_harmless(storable(explain.SEPARATOR.join([step["text"] for step in steps]))))


def failed(
    run: Run, failure: Failure, decision: Decision, why: Explained, exception: BaseException | None = None
) -> dict[str, Any]:
    """The task failed, by `exception` if it ran at all, and `decision` follows."""
    return {
        **_row(run),
        **_what_follows(decision),
        "failure": _what_failed(failure, exception),
        "explanation": why.steps,
        "reason": why.reason,
    }


def _what_failed(failure: Failure, exception: BaseException | None) -> dict[str, Any]:
    """The failure's own fields, one and the same object for what the classifier met before and returned anew.

    What is one object is sent to the database once for all the runs of a group that it ended.
    """
    known, places = _known_failures.get(id(failure)), _places(exception)
    if known is not None and known.failure is failure and known.places == places:
        return known.fields
    fields = {
        "exception_type": failure.exception_type,
        "message": shown(failure.message),
        "failure_type": failure.type.value,
        "confidence": failure.confidence,
        "evidence": [
            {"rule": each.rule, "exception": each.exception, "depth": each.depth, "detail": shown(each.detail)}
            for each in failure.evidence
        ],
        "remediation": failure.remediation.value,
        "fingerprint": failure.fingerprint,
        "traceback": None if exception is None else traceback_of(exception),
    }
    if len(_known_failures) >= MOST_KNOWN_FAILURES:
        _known_failures.clear()
    # The failure is kept with its fields, or its id would soon be another's.
    _known_failures[id(failure)] = _Known(failure, places, fields)
    return fields


def _places(exception: BaseException | None) -> object:
    """What tells two tracebacks of one failure apart: whatever else is in them, the classifier compares."""
    if isinstance(exception, SAYS_MORE):
        return traceback_of(exception)
    trace = None if exception is None else exception.__traceback__
    stopped_at = []
    while trace is not None:
        stopped_at.append(trace.tb_lasti)
        trace = trace.tb_next
    return stopped_at


def aborted(run: Run) -> dict[str, Any]:
    """Somebody asked for the job's end."""
    return _row(run) | {"outcome": "aborted", "counted": True, "status": "aborted", "reason": "asked to abort"}


def released(run: Run) -> dict[str, Any]:
    """The worker stops: the job goes back as it was, and may run at once."""
    return _row(run) | {
        "outcome": "released",
        "counted": False,
        "status": "todo",
        "decision": "snooze",
        "delay": 0.0,
        "next_run_at": run.ended,
        "reason": "its worker stopped before the job was done",
    }


def put_off(run: Run, decision: Snooze, why: Explained) -> dict[str, Any]:
    """It did not run: what it waits for is no failure."""
    return _row(run) | _what_follows(decision) | {"explanation": why.steps, "reason": why.reason}


def _row(run: Run) -> dict[str, Any]:
    return {
        "job_id": run.claimed.job_id,
        "attempts": run.claimed.job.attempts,
        "claim": run.claimed.claim,
        "started_at": run.began,
        "ended_at": run.ended,
    }


def _what_follows(decision: Decision) -> dict[str, Any]:
    match decision:
        case Retry():
            retry = {
                "outcome": "failed",
                "counted": True,
                "status": "todo",
                "decision": "retry",
                "delay": decision.delay.total_seconds(),
                "next_run_at": decision.at,
            }
            changes = {"priority": decision.priority, "queue_name": decision.queue, "lock": decision.lock}
            return retry | {name: value for name, value in changes.items() if value is not None}
        case Snooze():
            return {
                "outcome": "snoozed",
                "counted": False,
                "status": "todo",
                "decision": "snooze",
                "delay": decision.delay.total_seconds(),
                "next_run_at": decision.at,
                "waited": {decision.reason: decision.delay.total_seconds()},
            }
        case DeadLetter():
            return {
                "outcome": "failed",
                "counted": True,
                "status": "failed",
                "decision": "dead_letter",
                "cause": decision.cause,
            }
        case _:
            assert_never(decision)


def traceback_of(exception: BaseException) -> str:
    """The formatted traceback, without our own frames and without secrets, in a form that Postgres can store."""
    try:
        text = _formatted(exception)
    except Exception:  # noqa: BLE001  Formatting calls the exception's own __str__, which may raise anything.
        text = "".join([*_frames(exception.__traceback__), f"{_name_of(exception)}: <exception str() failed>\n"])
    return storable(text[-LONGEST_TRACEBACK:])


def _formatted(exception: BaseException) -> str:
    """As the standard library formats it, from frames formatted before where no group is involved.

    It reads and parses the source of every frame anew, which costs more than all else that is done about a failure.
    """
    links = [(exception, "")]
    while (cause := _cause(links[-1][0])) is not None and all(cause[0] is not link for link, _ in links):
        links.append(cause)
    trace = _of_the_task(exception.__traceback__)
    if any(isinstance(link, BaseExceptionGroup) for link, _ in links):
        lines = traceback.format_exception(type(exception), exception, trace, limit=-DEEPEST_TRACEBACK)
        return _masked(lines)
    return "".join(
        "".join([*_traceback(trace if link is exception else link.__traceback__), _last_lines(link), then])
        for link, then in reversed(links)
    )


def _cause(exception: BaseException) -> tuple[BaseException, str] | None:
    """What it was raised from or during, and the standard library's words for that."""
    if exception.__cause__ is not None:
        return exception.__cause__, "\nThe above exception was the direct cause of the following exception:\n\n"
    if exception.__context__ is not None and not exception.__suppress_context__:
        return exception.__context__, "\nDuring handling of the above exception, another exception occurred:\n\n"
    return None


def _last_lines(exception: BaseException) -> str:
    """Its name and text, written here: the standard library looks at its causes first, too."""
    if isinstance(exception, SAYS_MORE) or hasattr(exception, "__notes__"):
        # With its traceback, in whose last frame newer Pythons look for what was meant; of that, no line is read.
        told = traceback.TracebackException(type(exception), exception, exception.__traceback__, limit=0, compact=True)
        return _masked(list(told.format_exception_only()))
    text = str(exception)
    return _masked([_name_of(exception), ": ", text, "\n"] if text else [_name_of(exception), "\n"])


def _name_of(exception: BaseException) -> str:
    kind = type(exception)
    own = kind.__module__ in ("__main__", "builtins")
    return kind.__qualname__ if own else f"{kind.__module__}.{kind.__qualname__}"


def _masked(lines: list[str]) -> str:
    """Before anything is cut off by which a secret is recognised; an error of a megabyte is cut all the same."""
    return redact_text("".join(lines)[-2 * LONGEST_TRACEBACK :])


def _traceback(trace: TracebackType | None) -> list[str]:
    return ["Traceback (most recent call last):\n", *_frames(trace)] if trace is not None else []


def _frames(trace: TracebackType | None) -> list[str]:
    found: deque[TracebackType] = deque(maxlen=DEEPEST_TRACEBACK)
    while trace is not None:
        found.append(trace)
        trace = trace.tb_next
    return [_frame(each) for each in found]


def _frame(trace: TracebackType) -> str:
    """One frame as text; where code stops, and what it says there, does not change while a process runs."""
    code = trace.tb_frame.f_code
    key = (code.co_filename, code.co_qualname, trace.tb_lasti, trace.tb_lineno)
    text = _known_frames.get(key)
    if text is None:
        if len(_known_frames) >= MOST_KNOWN_FRAMES:
            _known_frames.clear()
        text = _known_frames[key] = _masked(traceback.format_tb(trace, limit=1))
    return text


def _of_the_task(trace: TracebackType | None) -> TracebackType | None:
    """The traceback from the task's own frame on; ours above it are the same for every failure."""
    while trace is not None and trace.tb_next is not None and trace.tb_frame.f_globals.get("__package__") == _ROOM:
        trace = trace.tb_next
    return trace


def shown(text: str) -> str:
    """`text` without secrets, in a form that Postgres can store."""
    return storable(redact_text(text))
