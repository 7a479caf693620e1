"""Putting many jobs into their queues at once: all of them in one transaction, or none."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import orjson
from psycopg import AsyncConnection

from ..store.idempotency import Claim, Claimed
from .submit import SQL, AlreadyQueued, Submission, columns, repeated, waiting_twin, within

MOST = 10_000
"""Jobs in one batch."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What was made.

    Attributes:
        job_ids: In the order given, without those skipped.
        skipped: Indices of items whose queueing lock was held.
    """

    batch_id: int
    job_ids: list[int]
    skipped: list[int]


async def submit_batch(  # noqa: PLR0913  Whose jobs, which, and on which terms.
    conn: AsyncConnection[Any],
    submissions: Sequence[Submission],
    *,
    task_name: str,
    actor: str,
    on_conflict: Literal["fail", "skip"] = "fail",
    claim: Claim | None = None,
) -> Batch | Claimed:
    """Insert all jobs, what they share and a row for the audit, or find what a taken key of `claim` stands for.

    Raises:
        AlreadyQueued: An item's queueing lock is held by a waiting job, or by an item before it; nothing is stored.
        KeyReused: The key stands for another body.
    """
    while True:
        async with within(conn):
            batch_id = await _open(conn, claim, {"task_name": task_name, "total": len(submissions), "actor": actor})
            if batch_id is not None:
                return await _fill(conn, batch_id, submissions, on_conflict)
        if claim and (claimed := await repeated(conn, claim)):
            return claimed


async def _open(conn: AsyncConnection[Any], claim: Claim | None, about: dict[str, Any]) -> int | None:
    query = SQL["open_batch_once"] if claim else SQL["open_batch"]
    cursor = await conn.execute(query, (asdict(claim) if claim else {}) | about)
    row = await cursor.fetchone()
    return int(row[0]) if row else None


async def _fill(
    conn: AsyncConnection[Any], batch_id: int, submissions: Sequence[Submission], on_conflict: str
) -> Batch:
    jobs = orjson.dumps([_row(each) for each in submissions]).decode()
    cursor = await conn.execute(SQL["submit_batch"], {"jobs": jobs, "batch_id": batch_id}, prepare=False)
    made: dict[int, int] = dict(await cursor.fetchall())
    skipped = [index for index in range(len(submissions)) if index not in made]
    if skipped and on_conflict == "fail":
        raise await _conflict(conn, submissions, skipped[0], made)
    if skipped:
        about = {"batch_id": batch_id, "total": len(made), "skipped": skipped}
        await conn.execute(SQL["close_batch"], about)
    return Batch(batch_id, list(made.values()), skipped)


async def _conflict(
    conn: AsyncConnection[Any], submissions: Sequence[Submission], index: int, made: dict[int, int]
) -> AlreadyQueued:
    lock = submissions[index].queueing_lock or ""
    twin = await waiting_twin(conn, lock)
    return AlreadyQueued(lock, None if twin in made.values() else twin, index)


def _row(job: Submission) -> dict[str, Any]:
    return columns(job) | {"timeout": None if job.timeout is None else job.timeout.total_seconds()}
