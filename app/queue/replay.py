"""Bringing a job back that has ended: a fresh one in its place, linked to it, its attempts at zero.

The old job and its history stay as they are. One that has a dead letter is brought back by that: see `letters`.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from psycopg import AsyncConnection
from psycopg.errors import UniqueViolation

from .submit import QUEUEING_LOCK_INDEX, SQL, AlreadyQueued, waiting_twin, within


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What is to be different about the fresh job. None: as it was."""

    args: dict[str, Any] | None = None
    queue: str | None = None
    priority: int | None = None
    run_at: datetime | None = None


class AlreadyReplayed(Exception):  # noqa: N818  Reads as what happened.
    """Another job waits or runs in the place of this one."""

    def __init__(self, job_id: int, replay_id: int) -> None:
        super().__init__(f"job {replay_id} waits or runs in the place of job {job_id}")
        self.replay_id = replay_id


async def replay(conn: AsyncConnection[Any], job_id: int, changes: Changes | None = None) -> int:
    """Insert a fresh job for one that has ended; return its id. The caller holds the old job's row.

    Its task, arguments, locks and options are those of the old one. Its deadline and what it has waited are not.

    Raises:
        AlreadyQueued: A job with the same queueing lock waits; the transaction stays usable.
        LookupError: There is no such job.
    """
    wanted = changes or Changes()
    given = {
        "job_id": job_id,
        "queue": wanted.queue,
        "priority": wanted.priority,
        "args": None if wanted.args is None else orjson.dumps(wanted.args).decode(),
        "run_at": wanted.run_at,
    }
    try:
        async with within(conn):
            row = await (await conn.execute(SQL["replay_job"], given)).fetchone()
    except UniqueViolation as error:
        if error.diag.constraint_name != QUEUEING_LOCK_INDEX:
            raise
        lock = await _queueing_lock_of(conn, job_id)
        raise AlreadyQueued(lock, await waiting_twin(conn, lock)) from None
    if row is None:
        raise LookupError(f"there is no job {job_id}")
    return int(row[0])


async def live_replay(conn: AsyncConnection[Any], job_id: int) -> int | None:
    """The job that already waits or runs in the place of `job_id`."""
    row = await (await conn.execute(SQL["find_live_replay"], {"job_id": job_id})).fetchone()
    return int(row[0]) if row else None


async def _queueing_lock_of(conn: AsyncConnection[Any], job_id: int) -> str:
    row = await (await conn.execute(SQL["find_queueing_lock"], {"job_id": job_id})).fetchone()
    return str(row[0]) if row else ""
