"""Burying what waits beyond its time: where a breaker or a pause holds a job back, no claim ever sees it.

Deadlines are looked at once each, held jobs only where a dependency has let nobody in for MAX_WAIT: the rest of the
time a look costs two empty answers. A job is taken and settled in one transaction, by the one writer of dead letters.
"""

import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson
from procrastinate import jobs
from psycopg import AsyncConnection
from psycopg.errors import UniqueViolation

from ..postgres.sqlfiles import load
from ..retry.failure import Failure
from ..retry.policy import DeadLetter
from ..telemetry import JobBuried, emit
from . import decide, record
from .claim import Claimed
from .connector import AfreshConnector

if TYPE_CHECKING:
    from .app import Afresh

SQL, SPINE = load("overdue"), load("spine")

MOST = 250
"""Jobs in one transaction."""

SECONDS = 20.0
"""That one look may take; what is left then is for the next one."""

Conn = AsyncConnection[Any]


@dataclass(frozen=True, slots=True)
class Overdue:
    """How many jobs were buried: past their deadline, and held by their dependency for too long."""

    past_deadline: int = 0
    held_too_long: int = 0


class _Late(NamedTuple):
    """A waiting job, and what is to be said of its end."""

    run: record.Run
    failure: Failure
    decision: DeadLetter


class _Looked(NamedTuple):
    """What came of one transaction: how many jobs were buried, and how many need no further look."""

    buried: int
    done: int


async def bury_overdue(app: "Afresh", *, seconds: float = SECONDS) -> Overdue:
    """Bury the waiting jobs whose deadline has passed, and those that their dependency has held for MAX_WAIT.

    After so many `seconds` nothing more is begun. Nothing on a connector that is not ours.
    """
    connector = app.connector
    if not isinstance(connector, AfreshConnector):
        return Overdue()
    until = time.monotonic() + seconds
    async with connector.connection() as conn:
        return Overdue(
            await _until_none(lambda: _past_deadline(conn, app), until),
            await _until_none(lambda: _held_too_long(conn, app), until),
        )


async def _until_none(look: Callable[[], Awaitable[_Looked]], until: float) -> int:
    buried = 0
    while (looked := await look()).done:
        buried += looked.buried
        if time.monotonic() > until:
            break
    return buried


async def _past_deadline(conn: Conn, app: "Afresh") -> _Looked:
    now = datetime.now(UTC)
    async with conn.transaction():
        await conn.execute(SQL["walk_indexes"])
        rows = await (await conn.execute(SQL["find_past_deadline"], {"most": MOST})).fetchall()
        late = [
            _Late(_run(app, record.Unattended(*job), now), *decide.after_deadline(deadline))
            for *job, deadline, waits in rows
            if waits
        ]
        buried = await _bury(conn, late)
        ended = [row[0] for row in rows if not row[-1]]
        await conn.execute(SQL["close_deadlines"], {"ids": [*ended, *buried]})
    _tell(late, buried)
    return _Looked(len(buried), len(ended) + len(buried))


async def _held_too_long(conn: Conn, app: "Afresh") -> _Looked:
    tasks, dependencies = app.own_dependencies()
    max_wait, now = app.engine.settings.max_wait, datetime.now(UTC)
    given = {"max_wait": max_wait, "tasks": tasks, "dependencies": dependencies, "most": MOST}
    async with conn.transaction():
        await conn.execute(SQL["walk_indexes"])
        rows = await (await conn.execute(SQL["find_held_too_long"], given)).fetchall()
        late = [
            _Late(
                _run(app, record.Unattended(*job), now),
                *decide.after_waiting(name, reason, waited=max(now - since, timedelta(0)), max_wait=max_wait),
            )
            for *job, name, since, reason in rows
        ]
        buried = await _bury(conn, late)
    _tell(late, buried)
    return _Looked(len(buried), len(buried))


async def _bury(conn: Conn, late: list[_Late]) -> set[int]:
    """Settle those that still wait, and return their ids."""
    by_id = {each.run.claimed.job_id: each for each in late}
    seized = await _seize(conn, list(by_id)) if by_id else []
    if not seized:
        return set()
    endings = [_ending(by_id[job_id]) for job_id in seized]
    runs = orjson.dumps([each | {"failure": number} for number, each in enumerate(endings)]).decode()
    failures = orjson.dumps([each["failure"] for each in endings]).decode()
    # As a rescue settles: no worker has them, which is the fence.
    cursor = await conn.execute(SPINE["settle_endings"], (None, runs, False, timedelta(0), failures))
    return {job_id for job_id, verdict, _ in await cursor.fetchall() if verdict == "applied"}


async def _seize(conn: Conn, ids: list[int]) -> list[int]:
    try:
        async with conn.transaction():
            cursor = await conn.execute(SQL["seize_jobs"], {"ids": ids, "locks": True})
            return [row[0] for row in await cursor.fetchall()]
    except UniqueViolation:  # A claim has just taken a job with one of their locks: those with locks wait for a look.
        cursor = await conn.execute(SQL["seize_jobs"], {"ids": ids, "locks": False})
        return [row[0] for row in await cursor.fetchall()]


def _ending(late: _Late) -> dict[str, Any]:
    why = record.explained(late.decision)
    # It did not run, so it was no attempt.
    return record.failed(late.run, late.failure, late.decision, why) | {"counted": False, "claim": None}


def _tell(late: Iterable[_Late], buried: set[int]) -> None:
    for each in late:
        if each.run.claimed.job_id in buried:
            emit(JobBuried(each.run.attempt, each.decision.cause, record.explained(each.decision).reason))


def _run(app: "Afresh", waiting: record.Unattended, now: datetime) -> record.Run:
    job = jobs.Job(
        id=waiting.job_id,
        status="doing",
        queue=waiting.queue,
        lock=None,
        queueing_lock=None,
        task_name=waiting.task_name,
        attempts=waiting.attempts,
    )
    return record.Run(Claimed(job, 0, waiting.job_id), waiting.attempt(app), now, now, None)
