"""Taking over the jobs of lost workers, one transaction for each: one job's trouble does not stop the others.

A rescue is not a failure of the job and costs no attempt. It is counted apart, and a job that loses its worker again
and again is buried before it takes every worker down.
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import orjson
import psycopg

from ..retry import explain
from ..retry.failure import Evidence, Failure, FailureType, Remediation
from ..retry.policy import DeadLetter, DeathCause, Snooze, SnoozeReason, Step
from ..store import breakers
from ..telemetry import Attempt, Event, JobBuried, JobRescued, emit
from .connector import AfreshConnector
from .dependencies import Call
from .record import Unattended
from .settle import SQL, refused, told

if TYPE_CHECKING:
    from .app import Afresh

FIRST_DELAY = timedelta(0)
SECOND_DELAY = timedelta(seconds=30)
LONGEST_DELAY = timedelta(seconds=900)
"""The first rescue is immediate: most lost workers died of a deploy or a reboot. From the second on the job itself is
suspect, and waits 30 s, doubling, up to 15 min."""


@dataclass(frozen=True, slots=True)
class RescueReport:
    """What one round did: ids of jobs put back, of jobs buried, and of jobs whose rescue failed with its error."""

    rescued: tuple[int, ...] = ()
    buried: tuple[int, ...] = ()
    failed: tuple[tuple[int, str], ...] = ()


def delay_before(rescue: int) -> timedelta:
    """The wait before a job runs again after its nth rescue, n from 1."""
    if rescue <= 1:
        return FIRST_DELAY
    doubled: timedelta = SECOND_DELAY * 2 ** min(rescue - 2, 10)
    return min(doubled, LONGEST_DELAY)


PURGE_SECONDS = 10.0
"""That one round of forgetting workers may take: over a million jobs it is about ten rows a second."""

LONGEST_BLINK = 15.0
"""Seconds between two looks at the silent workers; after a longer pause the watch begins anew."""


class Silence:
    """Which workers this process has found silent, and for how long it has watched each.

    After an outage every worker looks silent, until each has had the time for a heartbeat. So nobody is taken for
    lost at first sight: its heart must stand still under the eyes of a process that itself reaches the database.
    """

    def __init__(self) -> None:
        self._watched: dict[int, tuple[datetime, float]] = {}
        self._last_look = 0.0

    def confirm(self, silent: Iterable[tuple[int, datetime]], *, now: float, grace: float) -> list[int]:
        """Note who is silent now, and return those watched for `grace` seconds.

        Args:
            silent: Ids of workers, each with its last heartbeat.
            now: Of a monotonic clock, in seconds.
            grace: The time that a live worker needs for its next heartbeat.
        """
        former = self._watched if now - self._last_look <= max(LONGEST_BLINK, grace) else {}
        self._last_look = now
        self._watched = {}
        for worker, beat in silent:
            seen = former.get(worker)
            self._watched[worker] = seen if seen and seen[0] == beat else (beat, now)
        return [worker for worker, (_, since) in self._watched.items() if now - since >= grace]

    def interrupt(self) -> None:
        """Begin anew: the database was out of reach."""
        self._watched = {}


async def rescue_stalled(app: "Afresh") -> RescueReport:
    """Put back, or bury, every job whose worker is gone, or silent for STALLED_AFTER and watched since.

    Nothing on a connector that is not ours.

    Raises:
        psycopg.Error, TimeoutError: The database is out of reach.
    """
    try:
        return await _rescue_stalled(app)
    except BaseException:
        app.silence.interrupt()
        raise


async def _rescue_stalled(app: "Afresh") -> RescueReport:
    stalled_after, most = app.settings.worker.stalled_after, app.settings.worker.max_rescues
    rescued: list[int] = []
    buried: list[int] = []
    failed: list[tuple[int, str]] = []
    connector = app.connector
    if not isinstance(connector, AfreshConnector):
        return RescueReport()
    async with connector.connection() as conn:
        cursor = await conn.execute(SQL["find_silent"], {"stalled_after": stalled_after})
        silent = app.silence.confirm(await cursor.fetchall(), now=time.monotonic(), grace=app.heartbeat_seconds)
        cursor = await conn.execute(SQL["find_stalled"], {"silent": silent})
        for row in await cursor.fetchall():
            lost = _Lost(Unattended(*row[:-2]), *row[-2:])
            attempt = lost.job.attempt(app)
            ending, events = _ending(lost, attempt, most, datetime.now(UTC))
            try:
                verdict, outcome = await _settle(conn, ending, stalled_after)
            except psycopg.Error as error:
                if not refused(error):
                    raise
                failed.append((lost.job.job_id, str(error)))
                continue
            if verdict == "lost":  # Its worker was heard of after all, or somebody was faster.
                continue
            for name, permit in await breakers.find_probes(conn, lost.job.job_id):
                app.dependencies.unused(Call(name, lost.job.job_id, permit=permit))
            if outcome == "lost":  # Else it has ended: asked to, or because its twin waits.
                (buried if "cause" in ending else rescued).append(lost.job.job_id)
            for event in told(attempt, ending, events, verdict, outcome):
                emit(event)
    return RescueReport(tuple(rescued), tuple(buried), tuple(failed))


async def purge_workers(conn: psycopg.AsyncConnection[Any], *, seconds: float = PURGE_SECONDS) -> int:
    """Forget workers that are gone and that no job names any more, ten in a statement; return how many.

    As long as a job names its worker the row stays, so that its history tells who ran it. After so many `seconds` no
    further statement is begun.
    """
    deadline = time.monotonic() + seconds
    purged = 0
    while count := (await conn.execute(SQL["purge_workers"])).rowcount:
        purged += count
        if time.monotonic() > deadline:
            break
    return purged


@dataclass(frozen=True, slots=True)
class _Lost:
    job: Unattended
    worker_id: int | None
    rescues: int


async def _settle(
    conn: psycopg.AsyncConnection[Any], ending: dict[str, Any], stalled_after: timedelta
) -> tuple[str, str | None]:
    """What the database made of it: the verdict, and how the run ended."""
    runs = orjson.dumps([ending]).decode()
    cursor = await conn.execute(SQL["settle_endings"], (None, runs, False, stalled_after, None))
    ((_, verdict, outcome),) = await cursor.fetchall()
    return verdict, outcome


def _ending(lost: _Lost, attempt: Attempt, most: int, now: datetime) -> tuple[dict[str, Any], tuple[Event, ...]]:
    nth = lost.rescues + 1
    by = f"worker {lost.worker_id}" if lost.worker_id else "a worker that is no longer registered"
    failure = _failure(lost, by)
    seen = Step("worker_lost", f"{failure.type} · {by} was lost with the job, {nth} of {most}", {"rescues": float(nth)})
    row: dict[str, Any] = {
        "job_id": lost.job.job_id,
        "attempts": lost.job.attempts,
        "outcome": "lost",
        "counted": False,
        "ended_at": now,
        "exception_type": failure.exception_type,
        "message": failure.message,
        "failure_type": failure.type,
        "confidence": failure.confidence,
        "evidence": [
            {"rule": each.rule, "exception": each.exception, "depth": 0, "detail": each.detail}
            for each in failure.evidence
        ],
        "remediation": failure.remediation,
        "fingerprint": failure.fingerprint,
    }
    decision = _decision(seen, nth, most, now)
    reason = explain.line(decision.explanation)
    events: tuple[Event, ...] = (JobRescued(attempt, nth, lost.worker_id),)
    match decision:
        case DeadLetter(cause):
            row |= {"status": "failed", "decision": "dead_letter", "cause": cause}
            events = (*events, JobBuried(attempt, cause, reason))
        case Snooze(at, delay):
            row |= {"status": "todo", "decision": "snooze", "delay": delay.total_seconds(), "next_run_at": at}
    return row | {"explanation": explain.as_json(decision.explanation), "reason": reason}, events


def _decision(seen: Step, nth: int, most: int, now: datetime) -> DeadLetter | Snooze:
    if nth > most:
        last = Step("limit", f"lost more than {most} workers (MAX_RESCUES) → buried", {"max_rescues": float(most)})
        return DeadLetter(DeathCause.WORKER_LOST, (seen, last))
    delay = delay_before(nth)
    wait = Step("delay", f"runs again in {delay.total_seconds():g} s", {"delay_seconds": delay.total_seconds()})
    return Snooze(now + delay, delay, SnoozeReason.SHUTDOWN, (seen, wait))


def _failure(lost: _Lost, by: str) -> Failure:
    return Failure(
        type=FailureType.SYSTEM_WORKER_LOST,
        confidence=1.0,
        evidence=(Evidence("queue.rescue", "WorkerLost", 0, by),),
        remediation=Remediation.SCALE_RESOURCES,
        sentence="The worker that ran this job died or was cut off before the job was done.",
        retryable=True,
        fingerprint=f"worker-lost-{lost.job.task_name[-100:]}",
        exception_type="WorkerLost",
        message=f"{by} was lost while it ran this job",
    )
