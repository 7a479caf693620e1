"""Bringing a job back that has ended: a fresh one in its place, linked to it, its attempts at zero.

The old job and its history stay as they are. One that has a dead letter is brought back by that: see `letters`.
"""

from typing import Any

from psycopg import AsyncConnection
from psycopg.errors import UniqueViolation

from .submit import QUEUEING_LOCK_INDEX, SQL, AlreadyQueued, waiting_twin, within


class AlreadyReplayed(Exception):  # noqa: N818  Reads as what happened.
    """Another job waits or runs in the place of this one."""

    def __init__(self, job_id: int, replay_id: int) -> None:
        super().__init__(f"job {replay_id} waits or runs in the place of job {job_id}")
        self.replay_id = replay_id


async def replay(conn: AsyncConnection[Any], job_id: int) -> int:
    """Insert a fresh job for one that has ended; return its id. The caller holds the old job's row.

    Its task, arguments, queue, priority, locks and options are those of the old one. Its time, its deadline and what it
    has waited are not.

    Raises:
        AlreadyQueued: A job with the same queueing lock waits; the transaction stays usable.
        LookupError: There is no such job.
    """
    try:
        async with within(conn):
            row = await (await conn.execute(SQL["replay_job"], {"job_id": job_id})).fetchone()
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
