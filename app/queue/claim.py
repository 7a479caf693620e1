"""Claiming: one statement takes as many runnable jobs as there is room for.

What may run, in which order, and what is held back is decided in SQL (migration 0005); nothing is filtered here.
"""

import time
from collections.abc import Awaitable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import psycopg
from procrastinate import jobs
from procrastinate.manager import JobManager

from ..postgres.sqlfiles import load
from ..telemetry import JobsClaimed, emit
from .connector import AfreshConnector
from .dependencies import Call
from .gate import Gate, Pass
from .task import options_of

if TYPE_CHECKING:
    from .app import Afresh

SQL = load("spine")

UNREADABLE = (psycopg.DataError, ValueError, RecursionError)
"""What comes of values that Postgres holds and Python does not: a time before our era, JSON of a thousand levels."""

_NOBODY: Mapping[str, Iterator[Pass]] = {}

T = TypeVar("T")


class UnreadableJobs(Exception):  # noqa: N818  Reads as what happened.
    """Jobs were claimed, and one of them cannot be read. `Claims.missed` tells which."""


class Claimed(NamedTuple):
    """A job that this worker now runs, with what was asked for when it was submitted.

    Attributes:
        claim: Number of the claim within the worker; with the worker's id it names one run of the job.
        dependency: The job's own; None: what its task relies on.
        waited: Seconds snoozed so far, by reason.
        fingerprints: Of its earlier failures, oldest first.
        call: As what it was let in; None: it relies on nothing.
        cost: Its own, as a task's; None: its task's.
    """

    job: jobs.Job
    claim: int
    job_id: int
    dependency: str | None = None
    max_retries: int | None = None
    timeout: timedelta | None = None
    deadline: datetime | None = None
    task_type: str | None = None
    correlation_id: str | None = None
    metadata: Mapping[str, Any] | None = None
    waited: Mapping[str, float] | None = None
    fingerprints: tuple[str, ...] = ()
    call: Call | None = None
    cost: str | None = None


class Claims:
    """The claims of one worker."""

    def __init__(self, app: "Afresh", worker_id: int, queues: list[str] | None) -> None:
        self._app = app
        self.worker_id = worker_id
        self._queues = queues
        self._numbers: Iterator[int] = count(1)
        self._due_first = False
        self._claimed_at = time.monotonic()
        self._announced: set[int] = set()
        self.gate = Gate(app, queues)

    def hear(self, notification: jobs.Notification) -> None:
        """Note which jobs were just inserted; 0 stands for whatever else is worth a claim."""
        # Two are as good as any number, and a worker that has no room for long hears of all that is deferred meanwhile.
        if notification["type"] == "job_inserted" and len(self._announced) <= 1:
            self._announced.add(notification["job_id"])

    async def take(self, limit: int, *, idle: bool = False) -> list[Claimed]:
        """Claim up to `limit` runnable jobs, in the order in which they should start.

        Where this worker is idle and heard of a single job, that one alone is tried first, at half the cost. Not where
        there is room for one only: then another that waits may come before it.

        Raises:
            psycopg.OperationalError: The database is out of reach; nothing is claimed that a rescue would not find.
            UnreadableJobs: One of the claimed jobs holds what this program cannot read.
        """
        connector = self._app.connector
        if not isinstance(connector, AfreshConnector):
            return await self._take_one()
        announced, self._announced = self._announced, set()
        if idle and limit > 1 and len(announced) == 1 and self.gate.stands_open:
            claimed = await self._take_announced(connector, *announced)
            if claimed:
                return claimed
        self._due_first = not self._due_first
        self._claimed_at = time.monotonic()
        tasks, dependencies = self._app.own_dependencies()
        number = next(self._numbers)
        async with connector.connection() as conn:
            shares = await self.gate.shares(conn, limit)
            passes = self.gate.passes(shares)
            try:
                cursor = await conn.execute(
                    SQL["claim_jobs"],
                    (self.worker_id, limit, self._queues, tasks, dependencies, self._due_first, number, shares.text),
                )
                claimed = [self._claimed(row, number, passes) for row in await _read(cursor.fetchall())]
                await self.gate.settle_up(conn, shares, claimed)
            except BaseException:
                await self.gate.settle_up(conn, shares, [])  # Nobody knows which jobs came with a permit, if any came.
                raise
        if claimed:
            emit(JobsClaimed(len(claimed)))
        return claimed

    async def _take_announced(self, connector: AfreshConnector, job_id: int) -> list[Claimed]:
        number = next(self._numbers)
        async with connector.connection() as conn:
            cursor = await conn.execute(
                SQL["claim_announced"],
                {"job_id": job_id, "worker": self.worker_id, "claim": number, "queues": self._queues},
            )
            row = await _read(cursor.fetchone())
        if row is None:
            return []
        emit(JobsClaimed(1))
        return [self._claimed(row, number)]

    async def missed(self, known: list[int]) -> tuple[list[Claimed], list[tuple[Claimed, Exception]]]:
        """Jobs that run under this worker's name and are not `known` to it; then those that cannot be read, and why.

        The answer to their claim was lost, or not understood. Not to be called while a claim is under way.
        """
        found: list[Claimed] = []
        unreadable: list[tuple[Claimed, Exception]] = []
        connector = self._app.connector
        if not isinstance(connector, AfreshConnector):
            return found, unreadable
        async with connector.connection() as conn:
            cursor = await conn.execute(SQL["find_missed"], {"worker": self.worker_id, "known": known})
            for *bare, claim in await cursor.fetchall():
                cursor = await conn.execute(SQL["read_missed"], {"job_id": bare[0], "claim": claim})
                try:
                    row = await cursor.fetchone()
                except UNREADABLE as error:
                    unreadable.append((self._claimed(bare, claim), error))
                else:
                    found += [self._claimed(row, claim)] if row else []
        return found, unreadable

    async def next_due(self) -> float | None:
        """Seconds until the next job that waits for its time falls due, or a rate limit lets one start."""
        connector = self._app.connector
        if not isinstance(connector, AfreshConnector):
            return None
        async with connector.connection() as conn:
            cursor = await conn.execute(SQL["find_next_due"], (self._queues, time.monotonic() - self._claimed_at))
            row = await cursor.fetchone()
            return row[0] if row else None

    async def release(self, claimed: list[Claimed]) -> set[int]:
        """Give jobs that never started back to the queue; return the ids of those that had to stay.

        Raises:
            psycopg.OperationalError: The database is out of reach; it is not known whether they are released.
            psycopg.IntegrityError: Another job took one of their queueing locks at this moment; nothing is released.
        """
        connector = self._app.connector
        if not (claimed and isinstance(connector, AfreshConnector)):
            return set()
        ids, claims = [each.job_id for each in claimed], [each.claim for each in claimed]
        async with connector.connection() as conn:
            cursor = await conn.execute(SQL["release_jobs"], {"ids": ids, "claims": claims, "worker": self.worker_id})
            kept = {row[0] for row in await cursor.fetchall()}
        for each in claimed:
            if each.call is not None and each.job_id not in kept:
                self._app.dependencies.unused(each.call)
        return kept

    async def sign_off(self) -> None:
        """Say that this worker claims nothing any more.

        Raises:
            psycopg.OperationalError: The database is out of reach.
        """
        connector = self._app.connector
        if not isinstance(connector, AfreshConnector):
            await self._app.job_manager.unregister_worker(self.worker_id)
            return
        async with connector.connection() as conn:
            await conn.execute(SQL["sign_off"], {"worker_id": self.worker_id})

    async def _take_one(self) -> list[Claimed]:
        job = await JobManager.fetch_job(self._app.job_manager, self._queues, self.worker_id)
        return [Claimed(job, next(self._numbers), job.id or 0)] if job else []

    def _claimed(self, row: Sequence[Any], claim: int, passes: Mapping[str, Iterator[Pass]] = _NOBODY) -> Claimed:
        job = jobs.Job(
            id=row[0],
            status="doing",
            queue=row[1],
            task_name=row[2],
            priority=row[3],
            lock=row[4],
            queueing_lock=row[5],
            task_kwargs=row[6],
            scheduled_at=row[7],
            attempts=row[8],
            abort_requested=row[9],
            worker_id=self.worker_id,
        )
        dependency, retries, timeout, deadline, task_type, correlation_id, metadata, waited, fingerprints, cost = row[
            10:
        ]
        return Claimed(
            job,
            claim,
            row[0],
            dependency,
            retries,
            timeout,
            deadline,
            task_type,
            correlation_id,
            metadata,
            waited,
            tuple(fingerprints or ()),
            self._call(row, passes),
            cost,
        )

    def _call(self, row: Sequence[Any], passes: Mapping[str, Iterator[Pass]]) -> Call | None:
        name = row[10] or self._app.dependency_of(row[2])
        if name is None:
            return None
        given = passes.get(name)
        return self._app.dependencies.call(name, row[0]) if given is None else Call(name, row[0], *next(given))


async def _read(rows: Awaitable[T]) -> T:
    try:
        return await rows
    except UNREADABLE as error:
        raise UnreadableJobs(str(error)) from error


def own_dependencies(tasks: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """The tasks that rely on something, and on what, as two lists of one length."""
    pairs = [(name, on) for name, task in tasks.items() if (on := options_of(task).depends_on)]
    return [name for name, _ in pairs], [on for _, on in pairs]
