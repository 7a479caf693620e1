"""The front page's numbers as they went."""

import re
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from psycopg import AsyncConnection

from app.monitoring.samples import sample
from app.store.breakers import isolate
from app.testing import failing

from ..api.test_dead_letters import insert
from ..application import Served, run_waiting_jobs
from ..store.history import fail, recover
from .parts import live_worker, text_of

pytestmark = pytest.mark.anyio


async def test_the_day_is_drawn(served: Served, conn: AsyncConnection):
    """What succeeded and what failed is drawn by the hour, and told in words; what the clock runs is left out."""
    queue, client = served
    await queue.tasks["app.tasks.monitoring.forget_samples"].defer_async(timestamp=0)
    for number in range(3):
        await client.post("/tasks/add", json={"args": {"a": number}})
    await client.post("/tasks/fail", json={"args": {"message": "no luck"}})
    await run_waiting_jobs(queue)
    await sample(queue, conn, now=datetime.now(UTC).replace(second=0, microsecond=0) + timedelta(minutes=1))
    page = (await client.get("/dashboard")).text
    assert "<title>Succeeded, by the hour: from 0 to 3," in page
    assert "<title>Failed, by the hour: from 0 to 1," in page
    assert "Success rate 75.0%" in await text_of(client, "/dashboard")


async def test_a_day_without_work(served: Served):
    """A day in which nothing happened is a flat line."""
    assert "<title>Buried, by the hour: from 0 to 0, 0 last, 24 points" in (await served[1].get("/dashboard")).text


async def test_queues_at_work(served: Served):
    """A queue without a job that waits or runs is only counted."""
    queue, client = served
    await client.post("/tasks/add", json={"args": {"a": 1}})
    await run_waiting_jobs(queue)
    page = (await client.get("/dashboard")).text
    assert "/dashboard/queues/sums" not in page
    assert "1 queue</a> without a job that waits or runs" in page
    await client.post("/tasks/add", json={"args": {"a": 1}})
    page = (await client.get("/dashboard")).text
    assert "/dashboard/queues/sums" in page
    assert "without a job" not in page


async def test_what_heals_itself_alarms_nobody(served: Served):
    """A failure that is tried again is told, and is no call for help."""
    queue, client = served
    with failing(queue.tasks["sample.add"], httpx.ConnectError("connection refused")):
        await client.post("/tasks/add", json={"args": {"a": 1}})
        await run_waiting_jobs(queue)
    page = (await client.get("/dashboard")).text
    assert "What fails now" in page
    assert "it is tried again by itself" in page
    assert '<a class="chip" href="/dashboard/jobs?task=sample.add">Jobs of sample.add</a>' in page
    assert "needs a look" not in page


async def test_what_was_replayed_alarms_nobody(served: Served):
    """What died of a failure calls for somebody until it is replayed; that it fails again and is retried does not."""
    queue, client = served
    await live_worker(queue)
    with failing(queue.tasks["sample.add"], httpx.ConnectError("connection refused")):
        job = (await client.post("/tasks/add", json={"args": {"a": 1}, "max_retries": 0})).json()["job_id"]
        await run_waiting_jobs(queue)
        await client.post("/tasks/add", json={"args": {"a": 2}})
        await run_waiting_jobs(queue)
    text = await text_of(client, "/dashboard")
    assert "1 thing needs a look" in text
    assert "2 failures · 1 dead letter pending" in text
    letter = (await client.get(f"/jobs/{job}")).json()["dead_letter_id"]
    await client.post(f"/dead-letters/{letter}/replay", json={"reason": "it is back"})
    await run_waiting_jobs(queue)
    assert (await client.get(f"/dead-letters/{letter}")).json()["status"] == "resolved"
    text = await text_of(client, "/dashboard")
    assert "Nothing needs a hand: what fails is tried again" in text
    assert "2 failures · sample.add" in text
    assert "replay" not in text
    assert "Look at this failure" in text


async def test_from_an_incident_to_its_dead_letters(served: Served, conn: AsyncConnection):
    """Of the failures of one incident, the page leads to the letters of one that has some that wait."""
    _, client = served
    for fingerprint, failures in (("healing", 3), ("spent", 2), ("deadly", 1)):
        for number in range(failures):
            await fail(conn, job_id=number, fingerprint=fingerprint, task="app.tasks.jokes.fetch_and_cache_joke")
    await insert(conn, fingerprint="spent", status="resolved")
    await insert(conn, 2, fingerprint="deadly")
    page = (await client.get("/dashboard")).text
    (address,) = re.findall('href="([^"]*)">Look at its dead letters</a>', page)
    assert address == "/dashboard/dead-letters?group=deadly&amp;status=pending"
    assert "6 failures · 2 dead letters pending" in await text_of(client, "/dashboard")


async def test_more_letters_than_it_counts(served: Served, conn: AsyncConnection, monkeypatch: pytest.MonkeyPatch):
    """Letters that wait are counted up to a limit; at it, there may be more."""
    await fail(conn)
    await insert(conn, 3)
    monkeypatch.setattr("app.dashboard.overview.COUNTED", 2)
    assert "2+ dead letters pending" in await text_of(served[1], "/dashboard")


async def test_what_has_died_and_which_tasks_fail(served: Served):
    """How many dead letters wait for somebody is told, and which tasks failed most, with what retries achieved."""
    queue, client = served
    await client.post("/tasks/add", json={"args": {"a": 1}})
    await client.post("/tasks/fail", json={"args": {"message": "no luck"}})
    await run_waiting_jobs(queue)
    page = (await client.get("/dashboard")).text
    assert '<a href="/dashboard/dead-letters?status=pending">1</a>' in page
    text = await text_of(client, "/dashboard")
    assert "Buried sample.fail 1 1 - 1" in text
    assert "sample.add" not in text


async def test_retries_that_ended_well(served: Served, conn: AsyncConnection):
    """Jobs that succeeded after they had failed are counted, however often; those that are still tried are not."""
    assert "Retries that ended well 0 " in await text_of(served[1], "/dashboard")
    await recover(conn, failures=3)
    await recover(conn, failures=1)
    await fail(conn, job_id=99)
    assert "Retries that ended well 2 " in await text_of(served[1], "/dashboard")


async def test_from_an_incident_to_its_failure(served: Served, conn: AsyncConnection):
    """What fails is told with when that began, in all its failures, and leads to the page of that failure."""
    _, client = served
    await fail(conn, hours_ago=5, fingerprint="shop/7", message="no such shelf")
    await fail(conn, hours_ago=1, fingerprint="shop/7", message="no such shelf")
    await fail(conn, fingerprint="other", message="no such luck")
    page = (await client.get("/dashboard")).text
    assert "since 5 h ago · 2 failures · t" in await text_of(client, "/dashboard")
    (address,) = re.findall('href="([^"]*shop[^"]*)">Look at this failure</a>', page)
    there = (await client.get(address)).text
    assert "no such shelf" in there
    assert "no such luck" not in there


@pytest.mark.parametrize(("severity", "told"), [("warning", "1 alert is open"), ("info", "All is well")])
async def test_open_alerts(served: Served, conn: AsyncConnection, severity: str, told: str):
    """While an alert is open that calls for somebody, not all is well, and the page leads to it."""
    queue, client = served
    await live_worker(queue)
    await conn.execute(
        "INSERT INTO afresh.alert (rule, subject, severity, opened_at, changed_at, value, threshold, cause, what_to_do)"
        " VALUES ('queue-size', 'sums', %s, now(), now(), 60, 50, 'jobs could run', '')",
        [severity],
    )
    text = await text_of(client, "/dashboard")
    assert told in text
    assert ("1 open alert" in text) == (severity != "info")


async def test_a_queue_that_nobody_takes(served: Served):
    """Where jobs are ready and no worker takes them, the queue is marked."""
    queue, client = served
    await live_worker(queue, queues=["letters"])
    await client.post("/tasks/add", json={"args": {"a": 1}})
    assert "sums no worker 1" in await text_of(client, "/dashboard")
    await live_worker(queue)
    assert "sums 1" in await text_of(client, "/dashboard")


async def test_how_many_jobs(served: Served, monkeypatch: pytest.MonkeyPatch):
    """A failure is told with the jobs that it struck; where not all failures are looked at, there may be more."""
    queue, client = served
    for _ in range(2):
        await client.post("/tasks/fail", json={"args": {"message": "no luck"}})
    await run_waiting_jobs(queue)
    assert "2× in 2 jobs, last" in await text_of(client, "/dashboard")
    monkeypatch.setattr("app.dashboard.overview.MOST_FAILURES", 1)
    assert "2× in 1+ jobs, last" in await text_of(client, "/dashboard")


async def test_how_many_wait(served: Served, conn: AsyncConnection, monkeypatch: pytest.MonkeyPatch):
    """Jobs that a dependency holds back are counted up to a limit; at it, there may be more."""
    _, client = served
    await isolate(conn, "joke-api", actor="ada", reason="maintenance")
    for _ in range(2):
        await client.post("/tasks/fetch-joke")
    assert "holds back 2 jobs" in await text_of(client, "/dashboard")
    monkeypatch.setattr("app.dashboard.overview.COUNTED", 2)
    assert "holds back 2+ jobs" in await text_of(client, "/dashboard")


async def test_order(served: Served):
    """What is wrong comes first; then health, the day with its curves, queues, workers, and what is due next."""
    queue, client = served
    await client.post("/tasks/fail", json={"args": {"message": "no luck"}})
    await run_waiting_jobs(queue)
    await client.post("/tasks/add", json={"args": {"a": 1}, "run_in": "1h"})
    text = await text_of(client, "/dashboard")
    told = ["1 thing needs a look", "What is wrong", "no luck", "The service is degraded no worker is alive"]
    told += ["The last 24 hours", "Succeeded, by the hour", "Failed, by the hour", "Queues Queue Ready", "Workers 0"]
    told += ["Next due", "Tasks that failed most"]
    places = [text.lower().find(each.lower()) for each in told]
    assert -1 not in places
    assert places == sorted(places)
    assert text.count("no worker is alive") == 1


async def test_since_when_nobody_looks(served: Served, conn: AsyncConnection):
    """A time within a reason is one that a browser tells by its own clock; the rest is text."""
    await conn.execute("UPDATE afresh.monitoring SET evaluated_at = '2020-01-31T18:00:00Z'")
    page = (await served[1].get("/dashboard")).text
    told = '<time datetime="2020-01-31T18:00:00+00:00" data-clock>2020-01-31 18:00 UTC</time>'
    assert f"alerts have not been evaluated since {told}: see whether a worker" in page


async def test_more_breakers_than_it_shows(served: Served, conn: AsyncConnection):
    """Where more dependencies are not well than it shows, the page says how many; those beyond the first are folded."""
    _, client = served
    await conn.execute(
        "INSERT INTO afresh.breaker (name, state, cause, changed_at)"
        " SELECT 'api-' || n, 'open', '5 of 5 calls failed', now() FROM generate_series(1, 23) n"
    )
    text = await text_of(client, "/dashboard")
    assert "At least 20 things need a look" in text
    assert "12 more" in text
    assert "3 other dependencies are not well, too." in text


async def test_more_than_it_shows(served: Served, conn: AsyncConnection):
    """Where more groups fail than it shows, the page says how many; what of a group is of today stands beside it."""
    _, client = served
    await conn.execute(
        "INSERT INTO afresh.failure_group (fingerprint, failures, deaths, first_seen, last_seen, last_attempt,"
        " failure_type, exception_type, message, remediation, tasks, dependencies)"
        " SELECT 'group-' || n, 7, 1, now() - interval '9 days', now(), n, 'UNKNOWN', 'ValueError', 'no luck',"
        " 'INVESTIGATE', ARRAY['t'], ARRAY[]::text[] FROM generate_series(1, 8) n"
    )
    text = await text_of(client, "/dashboard")
    assert "At least 5 things need a look" in text
    assert "3 other groups failed within 24 h, too." in text
    assert "7×, 0 of them within 24 h, last" in text
