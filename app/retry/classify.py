"""`classify`: an exception becomes a `Failure`. Total, pure and quick; it imports none of the libraries it knows."""

from datetime import datetime
from typing import NamedTuple

from .chain import Finding, findings
from .failure import Evidence, Failure, FailureType, Remediation
from .fingerprint import fingerprint
from .frames import frames_of, user_frames
from .look import Look, Surroundings, facts_of_name, storable
from .recall import Sighting
from .rules import Rule
from .taxonomy import REFINEMENTS, TAXONOMY
from .verdict import Verdict

_EVIDENCE_LIMIT = 5
_THIRD = 2
_NO_PRINT = "0" * 16


class Context(NamedTuple):
    """What is known about the job beside the exception.

    Attributes:
        task_name: Tells wrong arguments of the task from a bug inside it.
        now: Reference for a date in Retry-After when the response has no Date; aware.
        previous: Fingerprints of this job's earlier failures, oldest first.
        retry_http_500: Whether HTTP 500 is worth another try.
        rules: The user's rules; they win.
    """

    task_name: str | None = None
    now: datetime | None = None
    previous: tuple[str, ...] = ()
    retry_http_500: bool = False
    rules: tuple[Rule, ...] = ()


_NOTHING = Context()


def classify(exc: BaseException, context: Context = _NOTHING) -> Failure:
    """What this exception means. Never raises, whatever the exception does."""
    try:
        around = Surroundings(context.task_name, context.now, context.retry_http_500)
        look = Look(exc, around=around)
        sighting = Sighting(look, context.rules, context.task_name, context.previous, context.retry_http_500)
        return sighting.recall() or sighting.remember(_classify(look, context))
    except BaseException:  # noqa: BLE001 - total by promise: a failure must be recorded, however hostile or deep it is.
        return _gave_up(exc)


class _Described(Exception):  # noqa: N818 - never raised: it carries a description
    """An error that somebody describes without having the object."""

    sqlstate: str | None = None
    status_code: int | None = None


def from_description(
    *,
    exception_type: str | None = None,
    message: str = "",
    status: int | None = None,
    sqlstate: str | None = None,
    context: Context = _NOTHING,
) -> Failure:
    """Classify from words: `exception_type` qualified (``httpx.ConnectError``), HTTP `status`, SQLSTATE."""
    described = _Described(message)
    described.sqlstate, described.status_code = sqlstate, status
    facts = facts_of_name(exception_type or "Exception")
    around = Surroundings(context.task_name, context.now, context.retry_http_500)
    return _classify(Look(described, facts=facts, around=around), context)


def _classify(look: Look, context: Context) -> Failure:
    found = findings(look, context.rules)
    decisive = found[0]
    mark = _fingerprint(look, decisive)
    verdict = decisive.verdict
    repeats = context.previous.count(mark) if context.previous else 0
    kind = _type(verdict, repeats)
    meaning = TAXONOMY[kind]
    return Failure(
        type=kind,
        confidence=_confidence(verdict, kind, repeats),
        evidence=tuple(_evidence(finding) for finding in found[:_EVIDENCE_LIMIT]),
        remediation=_remediation(verdict, kind),
        sentence=_sentence(verdict, kind),
        retryable=meaning.retryable if verdict.retryable is None or kind is not verdict.type else verdict.retryable,
        fingerprint=mark,
        exception_type=storable(look.facts.name),
        message=look.text,
        hint=verdict.hint,
        effect=verdict.effect,
        reason=verdict.reason,
    )


def _type(verdict: Verdict, repeats: int) -> FailureType:
    """From the third identical failure on, some errors no longer look transient: a typing error in a host name."""
    return verdict.if_repeated if verdict.if_repeated is not None and repeats >= _THIRD else verdict.type


def _confidence(verdict: Verdict, kind: FailureType, repeats: int) -> float:
    """Repetition speaks against a transient cause and for a permanent one: 10 %, from the third time 20 %."""
    shift = 0.1 * min(repeats, _THIRD)
    if kind is FailureType.TRANSIENT_RATE_LIMIT or verdict.confidence >= 1.0:
        shift = 0.0
    toward = -shift if kind.startswith("TRANSIENT") else shift
    return round(min(0.99 if verdict.confidence < 1.0 else 1.0, verdict.confidence * (1 + toward)), 3)


def _remediation(verdict: Verdict, kind: FailureType) -> Remediation:
    refinement = REFINEMENTS.get(verdict.reason or "")
    if refinement is not None and refinement.action is not None and kind is verdict.type:
        return refinement.action
    return TAXONOMY[kind].actions[0]


def _sentence(verdict: Verdict, kind: FailureType) -> str:
    refinement = REFINEMENTS.get(verdict.reason or "")
    meaning = refinement.sentence if refinement is not None and kind is verdict.type else TAXONOMY[kind].sentence
    return storable(f"{verdict.detail[:1].upper()}{verdict.detail[1:]}: {meaning}.")


def _evidence(finding: Finding) -> Evidence:
    verdict, look = finding.verdict, finding.look
    return Evidence(storable(verdict.rule), storable(look.facts.name), look.depth, storable(verdict.detail))


def _fingerprint(look: Look, decisive: Finding) -> str:
    causes = [(look.facts.name, look.text)]
    if decisive.look is not look and decisive.look.exc is not look.exc:
        causes.append((decisive.look.facts.name, decisive.look.text))
    return fingerprint(causes, look.attempt(_user_frames, look.exc) or ())


def _user_frames(exc: BaseException) -> list[str]:
    return user_frames(frames_of(exc.__traceback__))


def _gave_up(exc: BaseException) -> Failure:
    name = type(exc).__name__
    return Failure(
        type=FailureType.UNKNOWN,
        confidence=0.1,
        evidence=(Evidence("classifier.gave_up", name, 0, "the exception could not be read"),),
        remediation=Remediation.INVESTIGATE,
        sentence=f"The exception could not be read: {TAXONOMY[FailureType.UNKNOWN].sentence}.",
        retryable=True,
        fingerprint=_NO_PRINT,
        exception_type=name,
        message="",
    )
