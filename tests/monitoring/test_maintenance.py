"""What becomes of alerts around a maintenance window, on a database and a queue that are real."""

from datetime import timedelta

import httpx
import pytest

from app.config import AlertSettings, Settings
from app.monitoring.samples import minutes_to_sample
from app.queue.app import Afresh
from app.store.monitoring import start_monitoring, stop_monitoring
from app.store.samples import read_points

from ..application import settings_for
from .lost import lose_worker
from .test_judge import NOON
from .test_samples import around
from .watchman import A_MINUTE, Watchman, alerts, fail_often

pytestmark = pytest.mark.anyio


@pytest.fixture
def settings(database_url: str) -> Settings:
    """Alerts open at once, and five attempts are enough."""
    alert = AlertSettings(after=timedelta(0), resolve_after=timedelta(0), least_attempts=5, dead_letters=5)
    return settings_for(database_url, alert=alert)


async def stop(watchman: Watchman, *, minutes: int) -> None:
    """Open a maintenance window around the present."""
    await stop_monitoring(
        watchman.conn,
        until=watchman.now + minutes * A_MINUTE,
        duration=minutes * A_MINUTE,
        actor="somebody",
        reason="moving",
    )


async def start(watchman: Watchman) -> None:
    """End it five minutes after the watchman has looked."""
    now = watchman.now + 5 * A_MINUTE
    assert await start_monitoring(watchman.conn, now=now, actor="somebody", reason=None)


HAPPENED = {"error-rate", "success-rate", "failure-group", "failure-growth", "worker-lost"}
"""Rules about what happens; the others are about what there is."""


@pytest.mark.parametrize("ended", [True, False])
async def test_what_happened_in_it(watchman: Watchman, client: httpx.AsyncClient, queue: Afresh, *, ended: bool):
    """What failed within a maintenance window opens no alert when it is over, by itself or by somebody's word."""
    await stop(watchman, minutes=60 if ended else 5)
    await fail_often(queue, client)
    await lose_worker(watchman.conn, timedelta(seconds=31))
    if ended:
        await start(watchman)
    watchman.now += 4 * A_MINUTE
    for _ in range(8):
        await watchman.look()
        assert HAPPENED.isdisjoint(await alerts(client))


async def test_what_is_still_so(watchman: Watchman, client: httpx.AsyncClient, queue: Afresh):
    """What is still so when a maintenance window is over is told: a breaker that is open, dead letters that wait."""
    await stop(watchman, minutes=5)
    await fail_often(queue, client)
    await watchman.conn.execute("INSERT INTO afresh.breaker (name, state, cause) VALUES ('bank', 'open', 'down')")
    await watchman.look(minutes=5)
    assert {"breaker-open", "dead-letters"} <= (await alerts(client, state="open")).keys()


async def test_what_happens_after_it(watchman: Watchman, client: httpx.AsyncClient, queue: Afresh):
    """What fails after a maintenance window opens its alerts, and what failed in it counts for nothing."""
    await fail_often(queue, client, times=20)
    now = watchman.now - 2 * A_MINUTE  # Before the minute in which the jobs will fail, by the clock of the database.
    await watchman.conn.execute(
        "UPDATE afresh.monitoring SET stopped_at = %(from)s, stopped_until = %(until)s, stopped_by = 'somebody', "
        "stopped_because = 'moving'",
        {"from": now - 5 * A_MINUTE, "until": now},
    )
    await watchman.look()
    assert {"error-rate", "failure-group"} <= (await alerts(client, state="open")).keys()


async def test_what_was_open_before(watchman: Watchman, client: httpx.AsyncClient, queue: Afresh):
    """An alert that was open before a maintenance window stays open until there are numbers from after it."""
    await fail_often(queue, client)
    await watchman.look()
    before = await alerts(client, state="open")
    await stop(watchman, minutes=60)
    await start(watchman)
    await watchman.look(minutes=5)
    after = await alerts(client, state="open")
    assert {"error-rate", "failure-group"} <= after.keys()
    assert after["error-rate"]["cause"] == before["error-rate"]["cause"]
    await watchman.look(minutes=3)
    assert "error-rate" not in await alerts(client, state="open")


async def test_it_is_not_sampled(watchman: Watchman, client: httpx.AsyncClient, queue: Afresh):
    """The minutes of a maintenance window are not sampled afterwards either."""
    begun = watchman.now
    await stop(watchman, minutes=5)
    await fail_often(queue, client)
    await watchman.look(minutes=8)
    assert await read_points(watchman.conn, around(begun)) == []


def test_minutes_after_it():
    """Sampling goes on with the minute in which the window ended, or with the one that has just ended."""
    last, resumed = NOON - 30 * A_MINUTE, NOON - timedelta(minutes=3, seconds=20)
    assert next(minutes_to_sample(last, NOON, resumed=resumed)) == NOON - 4 * A_MINUTE
    assert list(minutes_to_sample(last, NOON, resumed=NOON)) == [NOON - A_MINUTE]
    assert next(minutes_to_sample(last, NOON, resumed=NOON - 50 * A_MINUTE)) == last
