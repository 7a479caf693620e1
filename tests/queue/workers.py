"""Workers inside the test's own process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from app.queue.app import Afresh
from app.queue.connector import AfreshConnector
from app.queue.worker import AfreshWorker

from ..eventually import eventually
from .jobs import value


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


async def work_off(app: Afresh, **options: Any) -> None:
    """Run a worker until no job can run any more."""
    worker = app._worker(wait=False, install_signal_handlers=False, listen_notify=False, **options)
    await asyncio.wait_for(worker.run(), 30)


async def _listens(app: Afresh) -> bool:
    query = """
        SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND application_name = 'afresh listener' AND query ~ '^LISTEN.*afresh_wake'
    """
    connector = app.connector
    assert isinstance(connector, AfreshConnector)
    async with await connector.database.connect_async() as conn:
        return bool(await value(conn, query))
