"""Alerts from the observation to the webhook, on a database and a queue that are real."""

import asyncio
import socket
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from psycopg import AsyncConnection

from app.config import AlertSettings, Settings, SubmissionSettings
from app.monitoring.alerts.channels import channel_of
from app.monitoring.alerts.evaluate import evaluate
from app.monitoring.alerts.observe import observe
from app.monitoring.alerts.rules import QUEUE_SIZE
from app.monitoring.resources import tell_of_host
from app.monitoring.samples import sample
from app.queue import presence
from app.queue.app import Afresh
from app.queue.overload import Machine
from app.queue.task import task
from app.store.hosts import LATELY
from app.store.queues import CLOSELY

from ..application import run_waiting_jobs, serving, settings_for
from ..queue.jobs import claim
from .watchman import A_MINUTE, Watchman, alerts, fail_often
from .webhook import Webhook

pytestmark = pytest.mark.anyio


@task(name="sample.pay", slug="pay", depends_on="bank", critical=True)
async def pay() -> None:
    """Rely on something critical."""


@pytest.fixture
def settings(database_url: str, hook: Webhook) -> Settings:
    """Alerts open at once, and five attempts are enough."""
    alert = AlertSettings(
        urls=(hook.url,), after=timedelta(0), resolve_after=timedelta(0), least_attempts=5, dead_letters=0
    )
    return settings_for(database_url, alert=alert)


async def test_from_a_failure_to_the_webhook(
    watchman: Watchman, client: httpx.AsyncClient, queue: Afresh, hook: Webhook
):
    """Many failures open an alert that says what fails and what to do, which the webhook is told."""
    await fail_often(queue, client)
    told = await watchman.look()
    assert told["opened"] >= 3
    found = await alerts(client, state="open")
    rate = found["error-rate"]
    assert (rate["severity"], rate["state"], rate["value"], rate["threshold"]) == ("critical", "open", 100, 20)
    assert rate["cause"] == "10 of 10 attempts failed within 5 min: sample.fail 10 of 10"
    assert "failure groups" in rate["what_to_do"]
    assert {"success-rate", "failure-group"} <= found.keys()
    await watchman.deliver()
    (sent,) = [each for each in hook.taken if "Many attempts fail" in each["title"]]
    assert sent["title"] == "[critical] Many attempts fail"
    assert "sample.fail 10 of 10" in sent["message"]
    assert "What to do: Look at the failure groups" in sent["message"]


async def test_it_is_over(watchman: Watchman, client: httpx.AsyncClient, queue: Afresh, hook: Webhook):
    """When it is over the alert is resolved, and the recovery is told with how long it lasted."""
    await fail_often(queue, client)
    await watchman.look()
    await watchman.look(minutes=8)
    found = (await alerts(client, state="resolved"))["error-rate"]
    assert [event["kind"] for event in found["events"]] == ["opened", "resolved"]
    await watchman.deliver()
    assert any(
        each["title"].startswith("[resolved] over: Many attempts fail") and "after 8 min" in each["message"]
        for each in hook.taken
    )


async def test_no_storm(watchman: Watchman, client: httpx.AsyncClient, queue: Afresh, hook: Webhook):
    """Many things of one rule are one message, and a rule sends one in a minute at most, however often it is asked."""
    await fail_often(queue, client)
    async with queue.connection() as conn:
        await conn.execute(
            "INSERT INTO afresh.breaker (name, state, cause, changed_at) "
            "SELECT 'api-' || n, 'open', '5 of 5 calls failed', now() FROM generate_series(1, 30) n"
        )
        await watchman.look()
        await conn.execute("UPDATE afresh.breaker SET state = 'closed'")
        for _ in range(3):  # The breakers are over at once, and the next minute has begun, but no minute has passed.
            watchman.now += timedelta(seconds=15)
            await evaluate(queue, conn, now=watchman.now)
        await watchman.deliver()
        of_breakers = [each for each in hook.taken if "not called" in each["title"]]
        assert [each["title"] for each in of_breakers] == ["[warning] api-1 is not called and 29 more"]
        assert "and 10 more" in of_breakers[0]["message"]
        await watchman.look(minutes=2)
        await watchman.deliver()
    assert len([each for each in hook.taken if "api-1 is not called" in each["title"]]) == 2


async def test_where_nobody_samples(watchman: Watchman, client: httpx.AsyncClient, queue: Afresh):
    """While no minute is sampled, a rate's alert is not resolved for want of numbers; what was sampled last stands."""
    await fail_often(queue, client)
    await watchman.look()
    assert "error-rate" in await alerts(client, state="open")
    await evaluate(queue, watchman.conn, now=watchman.now + 8 * A_MINUTE)
    assert "error-rate" in await alerts(client, state="open")
    await watchman.look(minutes=9)
    assert "error-rate" not in await alerts(client, state="open")


async def test_a_webhook_that_is_down(
    watchman: Watchman, client: httpx.AsyncClient, queue: Afresh, hook: Webhook, conn: AsyncConnection
):
    """What is not taken is tried again by the queue's own engine, and nothing that is stored tells the address."""
    hook.refusals = 2
    await fail_often(queue, client)
    await watchman.look()
    await watchman.deliver()
    failed = "SELECT exception_type, message, decision::text FROM afresh.attempt WHERE task_name LIKE '%send_alert'"
    rows = await (await conn.execute(failed)).fetchall()
    assert {row[2] for row in rows} == {"retry"}
    assert len(rows) == 2
    assert all("NotDelivered" in row[0] and "503" in row[1] for row in rows)
    dump = await (await conn.execute("SELECT string_agg(args::text, ' ') FROM procrastinate_jobs")).fetchone()
    assert not any("xyz" in str(text) for text in (dump, rows))
    assert channel_of(hook.url) in str(dump)
    await conn.execute("UPDATE procrastinate_jobs SET scheduled_at = NULL WHERE status = 'todo'")
    asked = hook.asked
    await watchman.deliver()
    assert hook.asked == asked + 2
    assert len(hook.taken) == len(set(hook.titles)) >= 3


async def test_twice_at_once(watchman: Watchman, client: httpx.AsyncClient, queue: Afresh, conn: AsyncConnection):
    """Two evaluations at the same time open each alert once; one of them does nothing, or finds nothing to do."""
    await fail_often(queue, client)
    watchman.now += A_MINUTE
    await sample(queue, conn, now=watchman.now)

    async def one() -> dict[str, Any]:
        async with queue.connection() as own:
            return await evaluate(queue, own, now=watchman.now)

    told = await asyncio.gather(*[one() for _ in range(4)])
    assert sum(each.get("opened", 0) > 0 for each in told) == 1
    found = await (await conn.execute("SELECT rule, count(*) FROM afresh.alert GROUP BY rule, subject")).fetchall()
    assert {count for _, count in found} == {1}


async def test_critical_dependency(watchman: Watchman, client: httpx.AsyncClient, conn: AsyncConnection):
    """An open breaker is critical where a critical task relies on it, else a warning, and so is one that is held; an
    isolated one is no alert.
    """  # noqa: D205 - one sentence
    await conn.execute(
        "INSERT INTO afresh.breaker (name, state, cause) VALUES "
        "('bank', 'open', 'down'), ('weather', 'half_open', 'down'), ('mail', 'held', '3 jobs failed'), "
        "('pen', 'isolated', 'by an operator')"
    )
    await watchman.look()
    response = await client.get("/monitoring/alerts", params={"rule": "breaker-open"})
    assert {each["subject"]: each["severity"] for each in response.json()["items"]} == {
        "bank": "critical",
        "weather": "warning",
        "mail": "warning",
    }


async def test_a_lost_worker(watchman: Watchman, client: httpx.AsyncClient, conn: AsyncConnection):
    """A worker that fell silent is told, one that stopped is not; after a while it is no alert any more."""
    await conn.execute(
        "INSERT INTO afresh.worker SELECT n, 'worker-' || n, 'host', 100 + n, '0', NULL, 10, 0, false, 1, 1, 1, 1, "
        "now(), now() - interval '1 minute', CASE WHEN n = 2 THEN now() END FROM generate_series(1, 2) n"
    )
    await watchman.look(minutes=0)
    found = (await alerts(client, state="open"))["worker-lost"]
    assert found["subject"] == "worker-1 on host (process 101)"
    assert "no sign of life" in found["cause"]
    await conn.execute("INSERT INTO procrastinate_workers DEFAULT VALUES")
    await watchman.look(minutes=15)
    await watchman.look()
    assert "worker-lost" not in await alerts(client, state="open")


async def test_an_overloaded_worker(watchman: Watchman, client: httpx.AsyncClient, conn: AsyncConnection):
    """A worker that takes no jobs for five minutes is told, with how full its machine is; critical if no other takes
    any. One that stopped, or is overloaded for a moment, is not.
    """  # noqa: D205 - one sentence after the other
    await conn.execute("INSERT INTO procrastinate_workers (id) OVERRIDING SYSTEM VALUE SELECT generate_series(1, 2)")
    await conn.execute(
        "INSERT INTO afresh.worker SELECT n, 'worker-' || n, 'host', 100 + n, '0', NULL, 10, 0, n > 1, 1, 12, 97, 1, "
        "now(), now(), CASE WHEN n = 3 THEN now() END FROM generate_series(1, 3) n"
    )
    await watchman.look(minutes=0)
    await watchman.look(minutes=4)
    assert "worker-overloaded" not in await alerts(client)
    await watchman.look()
    found = (await alerts(client, state="open"))["worker-overloaded"]
    assert (found["subject"], found["severity"]) == ("worker-2 on host (process 102)", "warning")
    assert found["cause"] == "its machine is too full for more jobs: memory 12 %, CPU 97 %"
    assert 'afresh_workers{state="overloaded"} 1.0' in (await client.get("/metrics")).text
    await conn.execute("UPDATE afresh.worker SET overloaded = true")
    for _ in range(6):
        await watchman.look()
    response = await client.get("/monitoring/alerts", params={"rule": "worker-overloaded", "state": "open"})
    assert {each["severity"] for each in response.json()["items"]} == {"critical"}
    assert all(each["cause"].endswith("; no worker takes jobs") for each in response.json()["items"])
    await conn.execute("UPDATE afresh.worker SET overloaded = false")
    await watchman.look()
    assert "worker-overloaded" not in await alerts(client, state="open")


async def test_a_full_host(watchman: Watchman, client: httpx.AsyncClient, conn: AsyncConnection):
    """Memory over its limit is a warning about the host, a full disk is critical."""
    await conn.execute("INSERT INTO procrastinate_workers (id) OVERRIDING SYSTEM VALUE VALUES (7)")
    await conn.execute(
        "INSERT INTO afresh.worker VALUES (7, 'w', 'host', 1, '0', NULL, 10, 0, false, 1, 88.0, 1, 97.0, now(), now())"
    )
    await watchman.look(minutes=0)
    found = await alerts(client, state="open")
    assert (found["memory"]["severity"], found["disk"]["severity"]) == ("warning", "critical")
    assert found["disk"]["cause"] == "97 % of a disk of host is in use"


async def test_a_host_where_only_the_api_runs(
    watchman: Watchman, client: httpx.AsyncClient, queue: Afresh, monkeypatch: pytest.MonkeyPatch
):
    """A full disk of a host without a worker is told, too, for as long as an API process there says so."""
    monkeypatch.setattr(presence, "disks", lambda _: [presence.Disk("/", 100, 3, 97.0)])
    await tell_of_host(queue, Machine())
    await watchman.look(minutes=0)
    found = (await alerts(client, state="open"))["disk"]
    assert (found["subject"], found["severity"]) == (socket.gethostname(), "critical")
    await watchman.conn.execute("UPDATE afresh.api_host SET told_at = told_at - %s", [LATELY])
    await watchman.look()
    assert "disk" not in await alerts(client, state="open")


async def test_duplicates(watchman: Watchman, client: httpx.AsyncClient, queue: Afresh, conn: AsyncConnection):
    """Of all that is handed in, alone, in batches and from Python, what repeats an earlier one is told, a batch by its
    jobs; what the clock defers for the service itself is none of it. What Prometheus judges by are the same numbers.
    """  # noqa: D205 - one sentence after the other
    for _ in range(2):
        await client.post("/tasks/add", json={"args": {"a": 1}}, headers={"Idempotency-Key": "one"})
        batch = {"jobs": [{"args": {"a": 1}}] * 4}
        await client.post("/tasks/add/batch", json=batch, headers={"Idempotency-Key": "four"})
    await queue.tasks["sample.add"].defer_async(a=1)
    await queue.tasks["app.tasks.monitoring.forget_samples"].defer_async(timestamp=0)
    await watchman.look()
    found = (await alerts(client))["duplicate-rate"]
    assert found["cause"] == "5 of 11 submissions within 5 min repeat an earlier one"
    await conn.execute("DELETE FROM afresh.service_sample WHERE submitted = 0")
    await conn.execute("UPDATE afresh.service_sample SET at = at - interval '2 minutes'")  # Else it is still to come.
    lines = (await client.get("/metrics")).text.splitlines()
    assert {"afresh_recent_submissions 11.0", "afresh_recent_repeats 5.0"} <= set(lines)


async def test_a_long_queue(watchman: Watchman, client: httpx.AsyncClient):
    """A queue with more ready jobs than the threshold is told, with how many; a paused one is not."""
    for name in ("long", "paused"):
        await client.post("/tasks/add/batch", json={"jobs": [{"args": {"a": 1}, "queue": name}] * 60})
    await client.post("/queues/paused/pause", json={"reason": "a test"})
    await watchman.look()
    response = await client.get("/monitoring/alerts", params={"rule": "queue-size"})
    assert [(each["subject"], each["value"]) for each in response.json()["items"]] == [("long", 60)]


async def test_a_group_that_comes_back(watchman: Watchman, client: httpx.AsyncClient, queue: Afresh):
    """A new failure group is told until it is resolved, and again when it comes back; a muted one is not."""
    await fail_often(queue, client, times=1)
    await watchman.look()
    fingerprint = (await alerts(client, state="open"))["failure-group"]["subject"]
    await client.post(f"/failures/groups/{fingerprint}/resolve", json={"reason": "mended"})
    await watchman.look()
    assert "failure-group" not in await alerts(client, state="open")
    await fail_often(queue, client, times=1)
    await watchman.look()
    assert "has come back" in (await alerts(client, state="open"))["failure-group"]["cause"]
    await client.post(f"/failures/groups/{fingerprint}/mute", json={"duration": "1h", "reason": "known"})
    await watchman.look()
    assert "failure-group" not in await alerts(client, state="open")


async def test_growth(watchman: Watchman, client: httpx.AsyncClient, queue: Afresh, conn: AsyncConnection):
    """A task that fails more often than in its own past week is told, with both rates."""
    await conn.execute(
        "INSERT INTO afresh.task_sample SELECT 3600, 'sample.fail', date_trunc('hour', now()) - n * interval '1 hour', "
        "100, 98, 2, 0, 2, 0, 0, 1, 1, '{}' FROM generate_series(2, 150) n"
    )
    await fail_often(queue, client, times=20)
    await watchman.look()
    found = (await alerts(client))["failure-growth"]
    assert found["subject"] == "sample.fail"
    assert "20 of 20 attempts failed within 1 h (100 %), in the past week 2 %" in found["cause"]


async def test_milestones(watchman: Watchman, client: httpx.AsyncClient, conn: AsyncConnection, hook: Webhook):
    """What retries have saved is told at each power of ten, once, within the hour."""
    await conn.execute(
        "INSERT INTO afresh.failure_hour SELECT date_trunc('hour', now()), 't', 'UNKNOWN', 'q', 150, 150, 150, "
        "0, 120, 120, 0, 0, '1 s', now()"
    )
    for _ in range(3):
        await watchman.look(minutes=60)
    await watchman.deliver()
    found = (await alerts(client, rule="milestone"))["milestone"]
    assert (found["severity"], found["state"], found["value"]) == ("info", "resolved", 100)
    assert len([title for title in hook.titles if "100 failed attempts" in title]) == 1


async def test_nowhere_to_send(database_url: str, conn: AsyncConnection):
    """Without ALERT_URLS alerts are stored and listed, and nothing is sent."""
    async with serving(settings_for(database_url)) as (queue, _):
        await conn.execute("INSERT INTO afresh.breaker (name, state, cause) VALUES ('bank', 'open', 'down')")
        assert (await Watchman(queue, conn).look())["messages"] == 0
    row = await (await conn.execute("SELECT count(*) FROM procrastinate_jobs")).fetchone()
    assert row == (0,)


@pytest.mark.parametrize("severity", ["warning", "critical"])
async def test_a_full_queue_beyond_what_is_counted_exactly(database_url: str, conn: AsyncConnection, severity: str):
    """However large ALERT_QUEUE_SIZE or MAX_QUEUE_SIZE is, a queue that has reached it is seen to be full."""
    limit = CLOSELY.counted + 500
    full_at = {"warning": {"alert": AlertSettings(queue_size=limit)}}.get(
        severity, {"submission": SubmissionSettings(max_queue_size=limit)}
    )
    async with serving(settings_for(database_url, **full_at)) as (queue, _):
        await conn.execute(
            "INSERT INTO procrastinate_jobs (queue_name, task_name) SELECT 'q', 't' FROM generate_series(1, %s)",
            [limit + 10],
        )
        found = await observe(queue, conn, now=datetime.now(UTC))
    (full,) = [each for each in found if each.rule is QUEUE_SIZE and each.subject == "q"]
    assert full.value > limit


async def test_alerts_that_are_kept(queue: Afresh, conn: AsyncConnection):
    """An alert that was over long ago is forgotten with what happened to it, as old messages are; an open one stays."""
    await conn.execute(
        "INSERT INTO afresh.alert (rule, subject, severity, opened_at, resolved_at, changed_at, value, threshold, "
        "cause, what_to_do) SELECT 'r', n::text, 'warning', now() - interval '200 days', "
        "CASE n WHEN 1 THEN now() - interval '91 days' WHEN 2 THEN now() - interval '89 days' END, now(), 1, 1, '', '' "
        "FROM generate_series(1, 3) n"
    )
    await conn.execute(
        "INSERT INTO afresh.alert_event (alert_id, rule, kind, severity, at, line, what_to_do) "
        "SELECT id, rule, 'opened', severity, opened_at, 'l', '' FROM afresh.alert"
    )
    await conn.execute(
        "INSERT INTO afresh.alert_message (rule, severity, title, body, made_at) "
        "SELECT 'r', 'warning', n::text, '', now() - n * interval '1 day' FROM unnest(ARRAY[29, 31]) n"
    )
    await queue.tasks["app.tasks.monitoring.forget_samples"].defer_async(timestamp=0)
    await run_waiting_jobs(queue)
    left = "SELECT subject FROM afresh.alert a WHERE EXISTS (SELECT FROM afresh.alert_event WHERE alert_id = a.id)"
    assert sorted(await (await conn.execute(left)).fetchall()) == [("2",), ("3",)]
    assert await (await conn.execute("SELECT count(*) FROM afresh.alert_event")).fetchone() == (2,)
    assert await (await conn.execute("SELECT title FROM afresh.alert_message")).fetchall() == [("29",)]


async def test_behind_a_backlog(queue: Afresh, client: httpx.AsyncClient, conn: AsyncConnection):
    """However many jobs of the highest priority wait, the service looks at itself and sends its alerts before them."""
    batch = {"jobs": [{"args": {"a": 1}, "priority": "critical"}] * 50}
    assert (await client.post("/tasks/add/batch", json=batch)).status_code == 202
    own = ["sample_performance", "evaluate_alerts"]
    for name in own:
        await queue.tasks[f"app.tasks.monitoring.{name}"].defer_async(timestamp=0)
    await conn.execute("INSERT INTO afresh.breaker (name, state, cause) VALUES ('bank', 'open', 'down')")
    await evaluate(queue, conn, now=datetime.now(UTC))
    taken = {row["task_name"].rpartition(".")[2] for row in await claim(conn, 3)}
    assert taken == {*own, "send_alert"}
