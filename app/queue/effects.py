"""Exactly-once effects: what a task writes into the queue's database, and the end of its job, in one transaction.

A crash at any moment leaves both or neither. Whoever looks sees the job succeeded once what it wrote can be seen.
"""

import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import orjson
import psycopg
from procrastinate.jobs import DeleteJobCondition
from psycopg.pq import TransactionStatus

from .checkpoint import JobTakenOver
from .connector import AfreshConnector
from .settle import SQL
from .storable import encoded
from .task import RunningJob, current_job

Conn = TypeVar("Conn", psycopg.Connection[Any], psycopg.AsyncConnection[Any])

_logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Effects(Generic[Conn]):
    """A transaction that ends with the calling task's job.

    Attributes:
        conn: What is written on it is committed with the job's success, or not at all.
        result: Stored as what the job returned; JSON.
    """

    conn: Conn
    result: Any = field(default=None)


@asynccontextmanager
async def effects(
    conn: psycopg.AsyncConnection[Any] | None = None,
) -> AsyncIterator[Effects[psycopg.AsyncConnection[Any]]]:
    """Commit what the calling task writes in this block together with its job's success.

    The job has succeeded where the block is left: what the task does after it is no part of the job any more. An
    exception out of the block undoes all of it, and the attempt has failed as any other.

    Args:
        conn: A connection of the task's own to the queue's database, outside of a transaction; None: one is lent.

    Raises:
        JobTakenOver: Another worker runs the job by now; nothing was written.
        ValueError: `conn` is in a transaction, whose end nobody here knows of; or the job has ended so already.
        LookupError: Not called from a job of a worker on Postgres.
        psycopg.Error: The database refused or was lost. Both were committed, or neither; a retry finds out.
    """
    running, _ = _to_be_ended()
    if conn is None:
        async with running.app.connection() as lent, _ending(running, lent) as work:
            yield work
    else:
        async with _ending(running, conn) as work:
            yield work


@contextmanager
def effects_in_thread(conn: psycopg.Connection[Any] | None = None) -> Iterator[Effects[psycopg.Connection[Any]]]:
    """As `effects`, for a task that is not asynchronous; without `conn` a connection is made for it.

    Raises:
        As `effects`.
    """
    running, connector = _to_be_ended()
    if conn is None:
        with connector.database.connect() as own, effects_in_thread(own) as work:
            yield work
        return
    _refuse_inner(conn)
    work = Effects(conn)
    with conn.transaction():
        yield work
        _check(running, conn.execute(SQL["settle_successes"], _settlement(running, work.result)).fetchone())
    running.finished = True


@asynccontextmanager
async def _ending(
    running: RunningJob, conn: psycopg.AsyncConnection[Any]
) -> AsyncIterator[Effects[psycopg.AsyncConnection[Any]]]:
    _refuse_inner(conn)
    work = Effects(conn)
    async with conn.transaction():
        yield work
        cursor = await conn.execute(SQL["settle_successes"], _settlement(running, work.result))
        _check(running, await cursor.fetchone())
    running.finished = True


def _to_be_ended() -> tuple[RunningJob, AfreshConnector]:
    running = current_job()
    connector = running.app.connector
    if not isinstance(connector, AfreshConnector) or running.worker_id is None:
        raise LookupError("no worker on Postgres runs this job")
    if running.finished:
        raise ValueError(f"job {running.job_id} has ended with its effects already")
    return running, connector


def _refuse_inner(conn: psycopg.Connection[Any] | psycopg.AsyncConnection[Any]) -> None:
    if conn.info.transaction_status is not TransactionStatus.IDLE:
        raise ValueError("conn is in a transaction already: the job must end where that is committed")


def _settlement(running: RunningJob, result: Any) -> tuple[Any, ...]:
    """What the worker's own settlement of a success says, of this job alone."""
    job = str(running.job_id)
    stored, note = (None, None) if result is None else encoded(result)
    checkpoints = None if running.checkpoints is None else {job: sorted(running.checkpoints.jobs)}
    return (
        running.worker_id,
        [running.job_id],
        [running.attempt - 1],
        None if stored is None else f'{{"{job}":{stored.decode()}}}',
        running.delete is not DeleteJobCondition.NEVER,
        None if note is None else orjson.dumps({job: note}).decode(),
        [running.claim],
        None if checkpoints is None else orjson.dumps(checkpoints).decode(),
    )


def _check(running: RunningJob, verdict: tuple[Any, ...] | Any) -> None:
    if verdict is None or verdict[1] != "applied":
        raise JobTakenOver(running.job_id)


def note_late(running: RunningJob, error: BaseException) -> None:
    """Say that a task went on after its job had ended, and failed at that: nothing follows from it."""
    _logger.warning("job %d had succeeded with its effects before %s", running.job_id, type(error).__name__)
