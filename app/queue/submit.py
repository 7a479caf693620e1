"""Putting a job into its queue, on a connection that the caller owns: the job exists when their transaction does."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any

import orjson
from psycopg import AsyncConnection
from psycopg.errors import UniqueViolation
from psycopg.pq import TransactionStatus

from ..postgres.sqlfiles import load
from ..store.idempotency import Claim, Claimed, find_claim
from .task import Cost, relied_on, terms_of

SQL = load("submit")

QUEUEING_LOCK_INDEX = "procrastinate_jobs_queueing_lock_idx_v1"
"""Procrastinate's unique index over the queueing locks of waiting jobs."""


class AlreadyQueued(Exception):  # noqa: N818  Reads as what happened.
    """A job with this queueing lock waits already.

    Attributes:
        queueing_lock: The lock.
        job_id: The waiting job; None if it was claimed meanwhile, or is one of the same batch.
        index: Which item of a batch it is about.
    """

    def __init__(self, queueing_lock: str, job_id: int | None, index: int | None = None) -> None:
        which = "a job" if job_id is None else f"job {job_id}"
        item = "" if index is None else f"jobs.{index}: "
        super().__init__(f"{item}{which} with queueing lock {queueing_lock!r} waits already")
        self.queueing_lock = queueing_lock
        self.job_id = job_id
        self.index = index


class KeyReused(Exception):  # noqa: N818  As above.
    """The Idempotency-Key came with another body before."""

    def __init__(self, key: str) -> None:
        super().__init__(f"the Idempotency-Key {key!r} stands for a request with another body")


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A job to be.

    Attributes:
        task_name: The full name of its task.
        args: What the task is called with; JSON.
        queue, priority, lock, queueing_lock: Where they are not said, the task's own, if `@task` has declared it in
            this process; else ``default``, 5, and no locks.
        run_at: Not before then; aware.
        deadline: Not after then; aware.
        max_retries, timeout, task_type: In place of the task's own.
        submitted_by: The name of the API key that asked for it.
        dependency: What it relies on, in place of what its arguments say, and its task.
        cost: Whether it may wait for the quiet hours, in place of what its task says.
    """

    task_name: str
    args: dict[str, Any] = field(default_factory=dict)
    queue: str = field(default=None)  # type: ignore[assignment]  # Looked up: None is never seen from outside.
    priority: int = field(default=None)  # type: ignore[assignment]  # As above.
    run_at: datetime | None = None
    lock: str | None = None
    queueing_lock: str | None = None
    max_retries: int | None = None
    timeout: timedelta | None = None
    deadline: datetime | None = None
    task_type: str | None = None
    correlation_id: str | None = None
    metadata: dict[str, Any] | None = None
    submitted_by: str | None = None
    dependency: str | None = None
    cost: Cost | None = None

    def __post_init__(self) -> None:
        """Take what is not said from the task."""
        for name, value in terms_of(self.task_name).items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, value)  # It is frozen from here on.


async def submit(conn: AsyncConnection[Any], submission: Submission, *, actor: str | None = None) -> int:
    """Insert the job and its options in one statement, and a row for the audit if there is an actor; return its id.

    On a connection in a transaction the job is there when that commits. A conflict leaves the transaction usable.

    Raises:
        AlreadyQueued: A job with the same queueing lock waits.
    """
    made = await _insert(conn, "submit_job", submission, {"actor": actor})
    if made is None:
        raise AssertionError("an INSERT … RETURNING returns its row")
    return made


async def submit_once(conn: AsyncConnection[Any], submission: Submission, claim: Claim) -> int | Claimed:
    """As `submit`, if the key is free: job and key are there together or not at all. Else what the key stands for.

    A request that comes while another with its key is under way waits for that one's end. In the audit, whoever claims
    the key is the actor.

    Raises:
        AlreadyQueued: A job with the same queueing lock waits; the key stays free.
        KeyReused: The key stands for another body.
    """
    while True:
        made = await _insert(conn, "submit_job_once", submission, asdict(claim))
        if made is not None:
            return made
        if claimed := await repeated(conn, claim):
            return claimed


async def repeated(conn: AsyncConnection[Any], claim: Claim) -> Claimed | None:
    """What the first request with this key has made; None where this is the first.

    Raises:
        KeyReused: The key stands for another body.
    """
    claimed = await find_claim(conn, claim)
    if claimed and claimed.body_hash != claim.body_hash:
        raise KeyReused(claim.key)
    return claimed


async def _insert(
    conn: AsyncConnection[Any], query: str, submission: Submission, besides: dict[str, Any]
) -> int | None:
    try:
        async with _on_its_own(conn):
            cursor = await conn.execute(SQL[query], _parameters(submission) | besides)
            row = await cursor.fetchone()
    except UniqueViolation as error:
        if error.diag.constraint_name != QUEUEING_LOCK_INDEX or submission.queueing_lock is None:
            raise
        raise AlreadyQueued(submission.queueing_lock, await waiting_twin(conn, submission.queueing_lock)) from None
    return int(row[0]) if row else None


@asynccontextmanager
async def within(conn: AsyncConnection[Any]) -> AsyncIterator[None]:
    """A part of the caller's transaction that can fail alone; on a connection in autocommit, a transaction.

    psycopg's own `transaction` would commit where it is the first statement on a connection without autocommit.
    """
    if not conn.autocommit and conn.info.transaction_status is TransactionStatus.IDLE:
        await conn.execute("SELECT")
    async with conn.transaction():
        yield


def _on_its_own(conn: AsyncConnection[Any]) -> AbstractAsyncContextManager[None]:
    """A statement that is a transaction of its own needs no savepoint, which would cost two more round trips."""
    alone = conn.autocommit and conn.info.transaction_status is TransactionStatus.IDLE
    return nullcontext() if alone else within(conn)


async def waiting_twin(conn: AsyncConnection[Any], queueing_lock: str) -> int | None:
    """The waiting job that holds a queueing lock."""
    cursor = await conn.execute(SQL["find_twin"], {"queueing_lock": queueing_lock})
    row = await cursor.fetchone()
    return int(row[0]) if row else None


def _parameters(job: Submission) -> dict[str, Any]:
    row = columns(job)
    row["args"] = orjson.dumps(job.args).decode()
    row["metadata"] = None if job.metadata is None else orjson.dumps(job.metadata).decode()
    return row


def columns(job: Submission) -> dict[str, Any]:
    """What a row of a job takes from it, by the names that the queries have."""
    return {
        "queue_name": job.queue,
        "task_name": job.task_name,
        "priority": job.priority,
        "lock": job.lock,
        "queueing_lock": job.queueing_lock,
        "args": job.args,
        "scheduled_at": job.run_at,
        "dependency": job.dependency or relied_on(job.task_name, job.args),
        "max_retries": job.max_retries,
        "timeout": job.timeout,
        "deadline": job.deadline,
        "task_type": job.task_type,
        "correlation_id": job.correlation_id,
        "metadata": job.metadata,
        "submitted_by": job.submitted_by,
        "cost": job.cost,
    }
