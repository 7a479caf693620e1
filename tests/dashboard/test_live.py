"""The stream that says when a page has something new to show."""

import asyncio
import re

import psycopg
import pytest
from playwright.async_api import Browser, expect

from app.config import Settings
from app.dashboard import live
from app.dashboard.live import Liveliness
from app.queue.app import Afresh
from app.store.pulse import Pulse, read_pulse

from ..application import Served, listening, opened
from ..eventually import eventually
from .scene import PAGES, fill

pytestmark = pytest.mark.anyio

NEW_JOB = "INSERT INTO procrastinate_jobs (queue_name, task_name) VALUES ('q', 't')"


@pytest.fixture(autouse=True)
def looks(monkeypatch: pytest.MonkeyPatch) -> list[Pulse]:
    """What was seen of the database. Nobody is told to look all the same, so that who is told is told of a change."""
    seen: list[Pulse] = []

    async def look(conn: psycopg.AsyncConnection) -> Pulse:
        seen.append(await read_pulse(conn))
        return seen[-1]

    monkeypatch.setattr(live, "read_pulse", look)
    monkeypatch.setattr(live, "QUIET_SECONDS", 3600)
    return seen


async def test_every_page_is_live(served: Served):
    """Of each page there is a part that is drawn again when something changes; only a simulation stays as it was."""
    await fill(served)
    still = set()
    for name, address in PAGES.items():
        parts = re.findall(r"<[^>]*\sdata-live\b[^>]*>", (await served[1].get(address)).text)
        assert all(' id="' in each for each in parts), name  # By which it is found.
        if not parts:
            still.add(name)
    assert still == {"simulation"}


async def test_told_of_a_job(queue: Afresh, looks: list[Pulse]):
    """Everybody who looks is told when a job is made, and told once."""
    lively = Liveliness(queue)
    streams = [lively.changes() for _ in range(3)]
    assert [await anext(each) for each in streams] == [b"retry: 2000\n\n"] * 3
    waiting = [asyncio.ensure_future(anext(each)) for each in streams]
    await eventually(lambda: looks)
    assert len(lively) == 3
    async with queue.connection() as conn:
        await conn.execute(NEW_JOB)
    assert await asyncio.wait_for(asyncio.gather(*waiting), 30) == [b"data: changed\n\n"] * 3
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


async def test_outage(queue: Afresh, conn: psycopg.AsyncConnection, looks: list[Pulse]):
    """A stream outlives a connection that the database ended."""
    lively = Liveliness(queue)
    stream = lively.changes()
    await anext(stream)
    waiting = asyncio.ensure_future(anext(stream))
    await eventually(lambda: looks)
    await conn.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    await conn.execute(NEW_JOB)
    first = await asyncio.wait_for(waiting, 30)
    assert first == b"data: changed\n\n"
    await stream.aclose()


async def test_told_all_the_same(queue: Afresh, monkeypatch: pytest.MonkeyPatch):
    """Where nothing happens for long, everybody is told to look: not all leaves a trace."""
    monkeypatch.setattr(live, "QUIET_SECONDS", 0.1)
    stream = Liveliness(queue).changes()
    await anext(stream)
    for _ in range(2):
        assert await asyncio.wait_for(anext(stream), 30) == b"data: changed\n\n"
    await stream.aclose()


async def test_in_a_browser(settings: Settings, chromium: Browser, looks: list[Pulse]):
    """A job that is made while a person looks comes into the page at the word of its stream, and nothing else asks."""
    async with (
        opened(settings) as (queue, app),
        listening(app) as address,
        await chromium.new_page(base_url=address) as page,
    ):
        asked: list[str] = []
        answered: list[str] = []
        page.on("request", lambda request: asked.append(request.url.removeprefix(f"{address}/dashboard/")))
        page.on("requestfinished", lambda request: answered.append(request.url))
        await page.goto("/dashboard/jobs")
        await eventually(lambda: looks and answered.count(page.url) == 2)  # Once more when the stream is open.
        async with queue.connection() as conn:
            await conn.execute(NEW_JOB)
        await expect(page.locator(".row")).to_have_count(1)
        assert (asked.count("changes"), asked.count("jobs")) == (1, 3)
