"""Maintenance that runs twice at once, as when a worker that was taken for lost lives on: nothing is done twice."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from psycopg import AsyncConnection

from app.cli.joke_server import JokeServer, Reply
from app.config import MailSettings, RetentionSettings
from app.monitoring.samples import sample
from app.postgres.connect import Database
from app.queue.overdue import bury_overdue
from app.queue.purge import purge, terms_from
from app.queue.rescue import purge_workers, rescue_stalled
from app.queue.task import declarations
from app.store.adaptation import refresh_samples
from app.store.alerts import forget_alerts
from app.store.breakers import let_idle_go
from app.store.dead_letters import fold_counts, settle_strays
from app.store.failures import fold_failures, forget_hours
from app.store.idempotency import expire_claims
from app.store.retry_report import report_day
from app.store.samples import forget_samples
from app.store.workers import forget_workers

from ..application import Served, run_waiting_jobs, serving, settings_for
from ..queue.dependencies import open_breaker
from ..store.history import fail, recover

pytestmark = pytest.mark.anyio

CLOCKS = {
    "app.tasks.maintenance.retry_stalled_jobs": "*/10 * * * *",
    "app.tasks.maintenance.purge_old_jobs": "3-59/10 * * * *",
    "app.tasks.maintenance.expire_idempotency_keys": "7 * * * *",
    "app.tasks.maintenance.fold_failures": "* * * * *",
    "app.tasks.maintenance.tend_dead_letters": "* * * * *",
    "app.tasks.maintenance.bury_overdue": "* * * * *",
    "app.tasks.maintenance.tend_breakers": "5-59/10 * * * *",
    "app.tasks.maintenance.purge_gone_workers": "23 * * * *",
    "app.tasks.monitoring.sample_performance": "* * * * *",
    "app.tasks.monitoring.evaluate_alerts": "* * * * *",
    "app.tasks.monitoring.forget_samples": "17 * * * *",
    "app.tasks.analytics.refresh_retry_statistics": "*/10 * * * *",
    "app.tasks.analytics.report_retries": "10 0 * * *",
}


@pytest.mark.parametrize("name", CLOCKS)
def test_each_is_on_the_clock(served: Served, name: str):
    """Each task of maintenance is periodic, runs once at a time, waits once at most, and is not to be had over HTTP."""
    queue, _ = served
    task = queue.tasks[name]
    assert declarations.schedules[name].cron == CLOCKS[name]
    assert (task.lock, task.queueing_lock) == (name.rpartition(".")[2],) * 2
    assert not queue.catalog.resolve(name.rpartition(".")[2].replace("_", "-")).http


async def twice(db: Database, work: Callable[[AsyncConnection], Awaitable[Any]]) -> list[Any]:
    """What two that begin at the same moment answer."""
    async with await db.connect_async() as one, await db.connect_async() as other:
        return list(await asyncio.gather(work(one), work(other)))


async def all_of(conn: AsyncConnection, query: Any) -> list[Any]:
    """The rows."""
    return await (await conn.execute(query)).fetchall()


async def test_rescues(served: Served, conn: AsyncConnection):
    """Each job of a lost worker is put back once."""
    queue, _ = served
    await conn.execute(
        "INSERT INTO procrastinate_jobs (queue_name, task_name, status) "
        "SELECT 'q', 't', 'doing' FROM generate_series(1, 30)"
    )
    both = await asyncio.gather(rescue_stalled(queue), rescue_stalled(queue))
    assert sorted(job_id for each in both for job_id in each.rescued) == list(range(1, 31))
    assert await all_of(conn, "SELECT DISTINCT rescues FROM afresh.rescue") == [(1,)]


async def test_idempotency_keys(db: Database, conn: AsyncConnection):
    """Each key that has expired is forgotten once, and no other."""
    await conn.execute(
        "INSERT INTO afresh.idempotency (actor, route, key, body_hash, job_id, expires_at) "
        "SELECT 'me', 'r', g::text, sha256('x'), g, now() + (g - 6000) * interval '1 minute' "
        "FROM generate_series(1, 6100) g"
    )
    assert sum(await twice(db, expire_claims)) == 6_000
    assert await all_of(conn, "SELECT count(*) FROM afresh.idempotency") == [(100,)]


async def test_folding(db: Database, conn: AsyncConnection):
    """Each failure is counted once; hours that are old go once."""
    for number in range(40):
        await fail(conn, job_id=number + 1, hours_ago=24 * 100 if number % 2 else 0)
    assert sum(await twice(db, fold_failures)) == 40
    assert await all_of(conn, "SELECT failures FROM afresh.failure_group") == [(40,)]
    assert sum(await twice(db, forget_hours)) == 2
    assert await all_of(conn, "SELECT sum(failures) FROM afresh.failure_hour") == [(20,)]


async def test_dead_letters(db: Database, conn: AsyncConnection):
    """Letters whose job is gone are settled once, and counts stay what they are."""
    await conn.execute(
        "INSERT INTO afresh.dead_letter (job_id, status, cause, task_name, queue_name, priority, args, attempts, "
        "first_died_at, died_at, died_as, replayed_as) "
        "SELECT g, 'retrying', 'permanent', 't', 'q', 5, '{}', 1, now(), now(), g, g FROM generate_series(1, 50) g"
    )
    settled = await twice(db, settle_strays)
    assert sorted(letter for each in settled for letter in each) == list(range(1, 51))
    await twice(db, fold_counts)
    counted = "SELECT status::text, sum(letters) FROM afresh.dead_letter_count GROUP BY 1 HAVING sum(letters) <> 0"
    assert await all_of(conn, counted) == [("pending", 50)]


async def test_workers(db: Database, conn: AsyncConnection):
    """Each worker that is gone is forgotten once."""
    await conn.execute("INSERT INTO procrastinate_workers (last_heartbeat) SELECT 'epoch' FROM generate_series(1, 40)")
    assert sum(await twice(db, purge_workers)) == 40
    assert await all_of(conn, "SELECT count(*) FROM procrastinate_workers") == [(0,)]


async def test_learning(db: Database, conn: AsyncConnection):
    """What was learned is written once, by one after the other."""
    for _ in range(3):
        await recover(conn)
    assert await twice(db, refresh_samples) == [1, 1]
    assert await all_of(conn, "SELECT retries, successes FROM afresh.retry_sample") == [(3, 3)]


async def test_the_report(db: Database, conn: AsyncConnection):
    """Two reports of one day are the same."""
    await recover(conn)
    one, other = await twice(db, lambda each: report_day(each, datetime.now(UTC).date()))
    assert one == other
    assert one.jobs.succeeded == 1


async def test_purging(served: Served, conn: AsyncConnection):
    """One of two purges does the work, on connections of the queue's own."""
    queue, _ = served
    await conn.execute(
        "INSERT INTO procrastinate_jobs (queue_name, task_name) SELECT 'q', 't' FROM generate_series(1, 900)"
    )
    await conn.execute("UPDATE procrastinate_jobs SET status = 'cancelled'")
    await conn.execute("UPDATE procrastinate_events SET at = now() - interval '2 days'")
    terms = terms_from(RetentionSettings(failed=timedelta(days=1)))
    both = await asyncio.gather(purge(queue.connection, terms, rest=0), purge(queue.connection, terms, rest=0))
    assert sorted(each.removed["jobs"] for each in both) == [0, 900]


async def test_burying(served: Served, conn: AsyncConnection):
    """Each job whose deadline has passed is buried once, with one letter."""
    queue, client = served
    for _ in range(40):
        await client.post("/tasks/fetch-joke", json={"deadline": "2090-01-31T12:00:00Z"})
    await conn.execute("UPDATE afresh.job_option SET deadline = now()")
    both = await asyncio.gather(bury_overdue(queue), bury_overdue(queue))
    assert sum(each.past_deadline for each in both) == 40
    assert await all_of(conn, "SELECT count(*), count(DISTINCT job_id) FROM afresh.dead_letter") == [(40, 40)]


async def test_breakers(db: Database, conn: AsyncConnection):
    """Each breaker that nobody calls any more is let go once."""
    names = [f"host-{number}.example" for number in range(8)]
    for name in names:
        await open_breaker(conn, name)
    await conn.execute(
        "UPDATE afresh.breaker SET changed_at = a.ago, until = a.ago, probe_at = a.ago "
        "FROM (SELECT now() - interval '2 hours' AS ago) AS a"
    )
    both = await twice(db, lambda each: let_idle_go(each, own=([], [])))
    assert sorted(moved.name for each in both for moved in each) == names
    moves = "SELECT count(*) FROM afresh.breaker_event WHERE after = 'ramping'"
    assert await all_of(conn, moves) == [(8,)]


async def test_forgetting(db: Database, conn: AsyncConnection):
    """Each sample, alert and worker whose time is over is forgotten once, and no other."""
    await conn.execute(
        "INSERT INTO afresh.task_sample SELECT 60, 't' || g % 50, now() - (g + 0.5) * interval '1 min', "
        "0, 0, 0, 0, 0, 0, 0, 0, 0, '{}' FROM generate_series(0, 29_999) g"
    )
    await conn.execute(
        "INSERT INTO afresh.alert (rule, subject, severity, opened_at, resolved_at, changed_at, value, threshold, "
        "cause, what_to_do) SELECT 'r', '', 'info', at, at, at, 1, 1, 'c', 'w' "
        "FROM (SELECT now() - (g + 0.5) * interval '1 hour' AS at FROM generate_series(1, 9_600) g) AS past"
    )
    await conn.execute(
        "INSERT INTO afresh.worker (worker_id, name, host, pid, version, concurrency, running, overloaded, "
        "memory_bytes, host_memory_percent, host_cpu_percent, host_disk_percent, started_at, beat_at) "
        "SELECT g, 'w', 'h', 1, '0', 1, 0, false, 0, 0, 0, 0, now(), now() - (g + 0.5) * interval '1 hour' "
        "FROM generate_series(1, 200) g"
    )
    kept = timedelta(hours=100)
    assert sum(await twice(db, lambda each: forget_samples(each, hours=kept, minutes=kept))) == 24_000
    assert sum(await twice(db, lambda each: forget_alerts(each, kept=kept))) == 9_600 - 99
    assert sum(await twice(db, lambda each: forget_workers(each, kept=kept))) == 200 - 99


async def test_mailing_the_report(database_url: str, conn: AsyncConnection):
    """Two that report one day at the same moment have it mailed once."""
    mail: dict[str, Any] = {"server": "smtp://127.0.0.1:9", "sender": "a@b.example", "report_to": "boss@example.com"}
    async with serving(settings_for(database_url, mail=MailSettings(**mail))) as (queue, _):
        report = queue.tasks["app.tasks.analytics.report_retries"]
        for number in range(2):  # As above.
            await report.configure(lock=f"{number}", queueing_lock=f"{number}").defer_async(timestamp=86_400)
        await asyncio.gather(
            *(queue.run_worker_async(queues=["analytics"], wait=False, install_signal_handlers=False) for _ in range(2))
        )
        mails = "SELECT count(*) FROM procrastinate_jobs WHERE queue_name = 'email'"
        assert await all_of(conn, mails) == [(1,)]
        reports = "SELECT count(*), count(DISTINCT result ->> 'mailed_by') FROM afresh.result"
        assert await all_of(conn, reports) == [(2, 1)]


async def test_sampling(served: Served, db: Database, conn: AsyncConnection):
    """Two that sample the same minute leave what one leaves."""
    queue, _ = served
    for _ in range(3):
        await recover(conn)
    now = datetime.now(UTC) + timedelta(minutes=2)
    kept = "SELECT * FROM afresh.task_sample ORDER BY seconds, task_name, at"
    await twice(db, lambda each: sample(queue, each, now=now))
    both = await all_of(conn, kept)
    await conn.execute("TRUNCATE afresh.task_sample, afresh.queue_sample, afresh.queue_work, afresh.service_sample")
    await sample(queue, conn, now=now)
    assert both
    assert both == await all_of(conn, kept)


async def test_jokes(served: Served, jokes: JokeServer, conn: AsyncConnection):
    """Two jobs of the schedule that two workers run side by side keep their joke once."""
    queue, _ = served
    same = Reply(body=b'{"id": 7, "type": "t", "setup": "s", "punchline": "p"}')
    jokes.will(same, same)
    scheduled = queue.tasks["app.tasks.jokes.scheduled_fetch_random_joke"]
    for number in range(2):  # Its own queueing lock lets only one wait.
        await scheduled.configure(queueing_lock=f"joke {number}").defer_async(timestamp=0)
    await asyncio.gather(run_waiting_jobs(queue), run_waiting_jobs(queue))
    assert await all_of(conn, "SELECT status::text FROM procrastinate_jobs") == [("succeeded",)] * 2
    assert len(jokes.visits) == 2
    assert await all_of(conn, "SELECT id, punchline FROM afresh.jokes") == [(7, "p")]
