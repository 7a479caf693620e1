"""The stream that says when a page has something new to show."""

import asyncio

import psycopg
import pytest

from app.dashboard.live import Liveliness
from app.queue.app import Afresh

from ..eventually import eventually

pytestmark = pytest.mark.anyio

NEW_JOB = "INSERT INTO procrastinate_jobs (queue_name, task_name) VALUES ('q', 't')"


async def test_told_of_a_job(queue: Afresh):
    """Everybody who looks is told when a job is made, and told once."""
    lively = Liveliness(queue)
    streams = [lively.changes() for _ in range(3)]
    assert [await anext(each) for each in streams] == [b"retry: 2000\n\n"] * 3
    waiting = [asyncio.ensure_future(anext(each)) for each in streams]
    await asyncio.sleep(0)
    assert len(lively) == 3
    async with queue.connection() as conn:
        await conn.execute(NEW_JOB)
    assert await asyncio.gather(*waiting) == [b"data: changed\n\n"] * 3
    for each in streams:
        await each.aclose()
    assert len(lively) == 0


async def test_sent_home(queue: Afresh):
    """When the process is about to end, nobody holds it up."""
    lively = Liveliness(queue)
    stream = lively.changes()
    await anext(stream)
    waiting = asyncio.ensure_future(anext(stream, None))
    await eventually(lambda: len(lively) == 1)
    lively.close()
    assert await waiting is None


async def test_nobody_asks_for_nobody(queue: Afresh):
    """When the last one has gone, the database is asked no more."""
    lively = Liveliness(queue)
    stream = lively.changes()
    await anext(stream)
    waiting = asyncio.ensure_future(anext(stream))
    await eventually(lambda: "pulse" in _tasks())
    waiting.cancel()
    await eventually(lambda: "pulse" not in _tasks())


def _tasks() -> set[str]:
    return {task.get_name() for task in asyncio.all_tasks()}


async def test_outage(queue: Afresh, conn: psycopg.AsyncConnection):
    """A stream outlives a connection that the database ended."""
    lively = Liveliness(queue)
    stream = lively.changes()
    await anext(stream)
    waiting = asyncio.ensure_future(anext(stream))
    await eventually(lambda: len(lively) == 1)
    await conn.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    await conn.execute(NEW_JOB)
    first = await waiting
    assert first == b"data: changed\n\n"
    await stream.aclose()
