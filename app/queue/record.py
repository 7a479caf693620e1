"""From a run to the row that is stored about it: the fields of `afresh.settle_endings`, one function per ending."""

import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, assert_never

from ..retry import explain
from ..retry.failure import Failure
from ..retry.policy import DeadLetter, Decision, Retry, Snooze
from ..telemetry import Attempt, Event
from .claim import Claimed
from .settle import Settlement

if TYPE_CHECKING:
    from .call import Prepared

LONGEST_TRACEBACK = 16_000
"""Characters kept of a traceback: its end, where the error is."""

_ROOM = __package__

DEEPEST_TRACEBACK = 50
"""Frames that are formatted."""


@dataclass(frozen=True, slots=True)
class Run:
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

    def settlement(self, ending: dict[str, Any] | None, *events: Event, result: bytes | None = None) -> Settlement:
        """The settlement of this run."""
        return Settlement(self.claimed.job, self.claimed.job_id, self.attempt, events, ending, result)


def failed(run: Run, failure: Failure, decision: Decision, reason: str, trace: str | None) -> dict[str, Any]:
    """The task failed, and `decision` follows."""
    return (
        _row(run)
        | _what_follows(decision)
        | {
            "exception_type": failure.exception_type,
            "message": storable(failure.message),
            "traceback": trace,
            "failure_type": failure.type,
            "confidence": failure.confidence,
            "evidence": [
                {"rule": each.rule, "exception": each.exception, "depth": each.depth, "detail": storable(each.detail)}
                for each in failure.evidence
            ],
            "remediation": failure.remediation,
            "fingerprint": failure.fingerprint,
            "explanation": explain.as_json(decision.explanation),
            "reason": storable(reason),
        }
    )


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


def _row(run: Run) -> dict[str, Any]:
    return {
        "job_id": run.claimed.job_id,
        "attempts": run.claimed.job.attempts,
        "claim": run.claimed.claim,
        "started_at": run.began,
        "ended_at": run.ended,
        "priority": None,
        "queue_name": None,
        "lock": None,
    }


def _what_follows(decision: Decision) -> dict[str, Any]:
    match decision:
        case Retry():
            return {
                "outcome": "failed",
                "counted": True,
                "status": "todo",
                "decision": "retry",
                "delay": decision.delay.total_seconds(),
                "next_run_at": decision.at,
                "priority": decision.priority,
                "queue_name": decision.queue,
                "lock": decision.lock,
            }
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
    """The formatted traceback, without our own frames, in a form that Postgres can store."""
    try:
        lines: Sequence[str] = traceback.format_exception(
            type(exception), exception, _of_the_task(exception.__traceback__), limit=-DEEPEST_TRACEBACK
        )
    except Exception:  # noqa: BLE001  Formatting calls the exception's own __str__, which may raise anything.
        lines = traceback.format_tb(exception.__traceback__, limit=-DEEPEST_TRACEBACK)
    return storable("".join(lines)[-LONGEST_TRACEBACK:])


def _of_the_task(trace: TracebackType | None) -> TracebackType | None:
    """The traceback from the task's own frame on; ours above it are the same for every failure."""
    while trace is not None and trace.tb_next is not None and trace.tb_frame.f_globals.get("__package__") == _ROOM:
        trace = trace.tb_next
    return trace


def storable(text: str) -> str:
    """`text` without what Postgres cannot store: NUL and lone surrogates."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()
