"""Alerts where no worker evaluates them: an API process does, until one is back."""

import asyncio
import socket
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from psycopg import AsyncConnection

from app.config import AlertSettings, Settings
from app.monitoring.alerts import standby
from app.monitoring.alerts.evaluate import evaluate
from app.monitoring.alerts.standby import Standby
from app.queue.app import Afresh
from app.store.monitoring import stop_monitoring

from ..application import run_waiting_jobs, serving, settings_for
from ..eventually import eventually
from .lost import lose_worker
from .watchman import A_MINUTE, alerts
from .webhook import Webhook

pytestmark = pytest.mark.anyio

A_DAY = timedelta(days=1)


@pytest.fixture
def now() -> datetime:
    """The present of this test: that of the database goes on, and a whole run of tests takes longer than an alert."""
    return datetime.now(UTC)


@pytest.fixture
def settings(database_url: str, hook: Webhook) -> Settings:
    """Of an API beside which no worker runs."""
    return settings_for(database_url, alert=AlertSettings(urls=(hook.url,)))


async def evaluated(conn: AsyncConnection, at: datetime) -> None:
    """Let alerts have been evaluated last at that time."""
    await conn.execute("INSERT INTO afresh.monitoring (evaluated_at) VALUES (%s) ON CONFLICT DO NOTHING", (at,))
    await conn.execute("UPDATE afresh.monitoring SET evaluated_at = %s", (at,))


async def test_the_last_worker_is_lost(
    queue: Afresh, client: httpx.AsyncClient, conn: AsyncConnection, hook: Webhook, now: datetime
):
    """Where the worker that evaluated alerts is lost, that is told all the same, at once, and as critical."""
    await lose_worker(conn, 4 * A_MINUTE)
    await evaluated(conn, now - 4 * A_MINUTE)
    told = await Standby(queue, now - A_DAY).look(now)
    assert told is not None
    assert (told["opened"], told["sent"]) == (1, 1)
    found = (await alerts(client, state="open"))["worker-lost"]
    assert (found["severity"], found["subject"]) == ("critical", "w on host (process 1)")
    assert found["cause"].endswith("; no worker is left")
    assert hook.titles == ["[critical] Worker w on host (process 1) was lost"]
    (message,) = (await client.get("/monitoring/alerts/messages")).json()
    assert [(each["state"], each["attempts"]) for each in message["deliveries"]] == [("succeeded", 1)]
    await run_waiting_jobs(queue)
    assert len(hook.taken) == 1


async def test_it_lasts_while_no_worker_lives(
    queue: Afresh, client: httpx.AsyncClient, conn: AsyncConnection, now: datetime
):
    """The loss of the last worker is no news of ten minutes: it is over when a worker lives."""
    await lose_worker(conn, 90 * A_MINUTE)
    await evaluated(conn, now - 80 * A_MINUTE)
    one = Standby(queue, now - A_DAY)
    for minute in range(3):
        await one.look(now + minute * A_MINUTE)
    assert "worker-lost" in await alerts(client, state="open")
    await conn.execute("INSERT INTO procrastinate_workers DEFAULT VALUES")
    await evaluate(queue, conn, now=now + 3 * A_MINUTE)
    assert "worker-lost" not in await alerts(client, state="open")


async def test_a_loss_that_nobody_could_tell(
    queue: Afresh, client: httpx.AsyncClient, conn: AsyncConnection, hook: Webhook, now: datetime
):
    """A worker that was lost while nobody evaluated alerts is told by the next one that does, once, and is over."""
    await lose_worker(conn, 25 * A_MINUTE)
    await evaluated(conn, now - 26 * A_MINUTE)
    await conn.execute("INSERT INTO procrastinate_workers DEFAULT VALUES")
    await evaluate(queue, conn, now=now)
    assert (await alerts(client, state="open"))["worker-lost"]["severity"] == "warning"
    await evaluate(queue, conn, now=now + A_MINUTE)
    assert "worker-lost" not in await alerts(client, state="open")
    await run_waiting_jobs(queue)
    assert hook.titles[0] == "[warning] Worker w on host (process 1) was lost"


async def test_it_keeps_still(queue: Afresh, conn: AsyncConnection, now: datetime):
    """While a worker evaluates, shortly after a start, and in a maintenance window nobody stands in."""
    await evaluated(conn, now - 2 * A_MINUTE)
    assert await Standby(queue, now - A_DAY).look(now) is None
    await evaluated(conn, now - A_DAY)
    assert await Standby(queue, now - 2 * A_MINUTE).look(now) is None
    await stop_monitoring(conn, until=now + A_MINUTE, duration=A_MINUTE, actor="somebody", reason="moving")
    assert await Standby(queue, now - A_DAY).look(now) is None


async def test_each_minute_until_a_worker_is_back(queue: Afresh, conn: AsyncConnection, now: datetime):
    """Whoever stands in goes on each minute, and stops when a worker has evaluated alerts."""
    await evaluated(conn, now - A_DAY)
    one = Standby(queue, now - A_DAY)
    assert await one.look(now) is not None
    assert await one.look(now + A_MINUTE) is not None
    assert await Standby(queue, now - A_DAY).look(now + A_MINUTE) is None  # Another process need not.
    await evaluate(queue, conn, now=now + 2 * A_MINUTE)
    assert await one.look(now + 3 * A_MINUTE) is None


async def test_what_is_not_taken(queue: Afresh, conn: AsyncConnection, hook: Webhook, now: datetime):
    """A message that is not taken is tried again at the next look, and by a worker that is back."""
    hook.refusals = 2
    await lose_worker(conn, 4 * A_MINUTE)
    await evaluated(conn, now - 4 * A_MINUTE)
    one = Standby(queue, now - A_DAY)
    for minute in range(2):
        told = await one.look(now + minute * A_MINUTE)
        assert told is not None
        assert told["sent"] == 0
    await run_waiting_jobs(queue)
    assert "[critical] Worker w on host (process 1) was lost" in hook.titles


async def test_one_address_does_not_stop_the_others(
    queue: Afresh, conn: AsyncConnection, hook: Webhook, monkeypatch: pytest.MonkeyPatch, now: datetime
):
    """Whatever goes wrong with one address, at the next ones people are told."""
    both = AlertSettings(urls=("json://", hook.url))
    monkeypatch.setattr(queue, "settings", replace(queue.settings, alert=both))
    await lose_worker(conn, 4 * A_MINUTE)
    await evaluated(conn, now - 4 * A_MINUTE)
    told = await Standby(queue, now - A_DAY).look(now)
    assert told is not None
    assert told["sent"] == len(hook.taken) == 1


async def test_two_at_once(queue: Afresh, conn: AsyncConnection, hook: Webhook, now: datetime):
    """Of several processes that stand in at the same moment each message is sent by one."""
    await lose_worker(conn, 4 * A_MINUTE)
    await evaluated(conn, now - 4 * A_MINUTE)
    await asyncio.gather(*(Standby(queue, now - A_DAY).look(now) for _ in range(4)))
    assert len(hook.taken) == 1


async def test_the_api_stands_by(
    settings: Settings, conn: AsyncConnection, hook: Webhook, monkeypatch: pytest.MonkeyPatch
):
    """A server that runs looks by itself, says how full its host is, and nothing of that is left when it ends."""
    monkeypatch.setattr(standby, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(standby, "LATE", timedelta(0))
    await lose_worker(conn, 4 * A_MINUTE)
    async with serving(settings):
        await eventually(lambda: hook.taken)
    cursor = await conn.execute("SELECT host, memory_percent > 0, disk_percent > 0 FROM afresh.api_host")
    assert await cursor.fetchall() == [(socket.gethostname(), True, True)]
    assert not [each for each in asyncio.all_tasks() if "standby" in each.get_name()]
