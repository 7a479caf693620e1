"""Workers inside the test's own process, and jobs that run until they are let go."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from psycopg import AsyncConnection as Connection

from app.queue.app import Afresh
from app.queue.connector import AfreshConnector
from app.queue.worker import AfreshWorker

from ..eventually import eventually
from .jobs import Row, attempts, status, value

NO_POLL = {"fetch_job_polling_interval": 600.0, "abort_job_polling_interval": 600.0}
"""Whatever a worker begins in a test once it is `idle`, and whatever it ends, it was told to."""


@asynccontextmanager
async def working(app: Afresh, **options: Any) -> AsyncIterator[AfreshWorker]:
    """A worker that works, hears what is announced, and is stopped at the end."""
    worker = app._worker(install_signal_handlers=False, **options)
    run = asyncio.create_task(worker.run())
    try:
        await eventually(lambda: run.done() or worker.worker_id)
        if worker.listen_notify:
            await eventually(lambda: run.done() or _listens(app))
        yield worker
    finally:
        worker.stop()
        await asyncio.wait_for(run, 30)


async def first_run(app: Afresh, conn: Connection, task: Any) -> Row:
    """How the first run of a job of this task ended, where it is no success."""
    job_id = await task.defer_async()
    async with working(app):
        await eventually(lambda: attempts(conn, job_id))
    (run,) = await attempts(conn, job_id)
    return run


async def work_off(app: Afresh, **options: Any) -> None:
    """Run a worker until no job can run any more."""
    worker = app._worker(wait=False, install_signal_handlers=False, listen_notify=False, **options)
    await asyncio.wait_for(worker.run(), 30)


async def idle(worker: AfreshWorker) -> None:
    """Return when the worker has looked for jobs in vain, and sleeps until it is woken or its polling interval ends."""
    pause, asleep = worker._pause, False

    async def noted(seconds: float) -> None:
        nonlocal asleep
        asleep = seconds > 1  # Shorter it is before a second look.
        try:
            await pause(seconds)
        finally:
            asleep = False

    worker._pause = noted  # type: ignore[method-assign]  # That it sleeps is told to nobody.
    worker._new_job_event.set()  # Where it sleeps already, it looks once more.
    await eventually(lambda: asleep and not worker._new_job_event.is_set())


async def listener(conn: Connection) -> int | None:
    """The backend of a worker's connection that hears what is announced, where there is one."""
    query = """
        SELECT max(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND application_name = 'afresh listener' AND state = 'idle'
          AND query ~ '^LISTEN.*afresh_wake'
    """
    pid: int | None = await value(conn, query)
    return pid


async def _listens(app: Afresh) -> bool:
    connector = app.connector
    assert isinstance(connector, AfreshConnector)
    async with await connector.database.connect_async() as conn:
        return await listener(conn) is not None


class Gate:
    """Jobs that run until they are let go, and how many of them do."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.running = self.most = 0

    async def __call__(self) -> None:
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await self.open.wait()
        finally:
            self.running -= 1


async def is_(conn: Connection, job_id: int, expected: str) -> bool:
    """Whether the job's status is this."""
    return await status(conn, job_id) == expected


async def all_succeeded(conn: Connection) -> bool:
    """Whether no job is left to do, and none failed."""
    query = "SELECT count(*) FROM procrastinate_jobs WHERE status <> 'succeeded'"
    return bool(await value(conn, query) == 0)


async def nothing() -> None:
    """Do nothing, successfully."""


def as_task(gate: Gate) -> Any:
    """The gate as a task that is async to Procrastinate's eyes, so that it is cancelled on request."""

    async def gated() -> None:
        await gate()

    return gated
