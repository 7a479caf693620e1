"""What became of the retries of a day."""

import json
from datetime import UTC, date, datetime, timedelta

import pytest
from psycopg import AsyncConnection

from app.store.dead_letters import fold_counts
from app.store.failures import fold_failures
from app.store.retry_report import RetryReport, report_day

from .history import fail, recover

pytestmark = [pytest.mark.anyio, pytest.mark.matrix]

NOON = """
UPDATE {table} SET {column} = date_trunc('day', now(), 'UTC') - interval '12 hours'
"""


@pytest.fixture
def yesterday() -> date:
    """The day that the report is of."""
    return datetime.now(UTC).date() - timedelta(days=1)


async def at_noon(conn: AsyncConnection, *columns: str) -> None:
    """Let all that is recorded have happened at noon of yesterday."""
    for each in columns:
        table, column = each.rsplit(".", 1)
        await conn.execute(NOON.format(table=table, column=column))


async def a_day(conn: AsyncConnection) -> None:
    """Two jobs that succeeded after one and two retries, one that died after one, and one that was cancelled."""
    await recover(conn, failures=1, failure_type="TRANSIENT_NETWORK", fingerprint="a")
    await recover(conn, failures=2, failure_type="TRANSIENT_NETWORK", fingerprint="a")
    await fail(conn, job_id=9_000, attempt=1, fingerprint="b")
    await fail(conn, job_id=9_000, attempt=2, fingerprint="b", decision="dead_letter")
    await conn.execute("INSERT INTO procrastinate_jobs (queue_name, task_name) VALUES ('q', 't')")
    await conn.execute("UPDATE procrastinate_jobs SET status = 'cancelled' WHERE status = 'todo'")
    await conn.execute(
        "INSERT INTO afresh.dead_letter (job_id, cause, task_name, queue_name, priority, args, attempts, first_died_at,"
        " died_at, died_as) SELECT 9000, 'retries_spent', 't', 'q', 5, '{}', 2, noon, noon, 9000"
        " FROM (SELECT date_trunc('day', now(), 'UTC') - interval '12 hours') AS at (noon)"
    )
    await at_noon(
        conn,
        "procrastinate_events.at",
        "afresh.attempt.started_at",
        "afresh.recovery.recovered_at",
    )
    await conn.execute(
        "UPDATE afresh.attempt SET ended_at = started_at + interval '2 s', next_run_at = "
        "CASE WHEN decision = 'retry' THEN started_at END"
    )


@pytest.mark.parametrize("folded", [False, True])
async def test_a_day(conn: AsyncConnection, yesterday: date, folded: bool):  # noqa: FBT001 - both are the same.
    """It tells jobs, retries and how they ended, types, groups, letters and savings; folded or not."""
    await a_day(conn)
    if folded:
        await fold_failures(conn)
        await fold_counts(conn)
    report = await report_day(conn, yesterday)
    assert (report.jobs.made, report.jobs.succeeded, report.jobs.failed, report.jobs.stopped) == (1, 2, 0, 1)
    assert (report.whole.failures, report.whole.retries, report.whole.deaths) == (5, 4, 1)
    assert report.share_ended_well == 0.5  # Two made a job succeed, two ended in another failure.
    assert list(report.types) == ["TRANSIENT_NETWORK", "UNKNOWN"]
    assert report.types["TRANSIENT_NETWORK"].share_ended_well == pytest.approx(2 / 3)
    assert (report.groups, report.new_groups) == (2, 2)
    assert [(group.fingerprint, group.failures, group.is_new) for group in report.worst_groups] == [
        ("a", 3, True),
        ("b", 2, True),
    ]
    assert (report.letters.died, report.letters.still_pending, report.letters.pending) == (1, 1, 1)
    assert report.savings.retries_ended_well == 2


async def test_what_the_clock_runs_is_no_work(conn: AsyncConnection, yesterday: date):
    """Jobs that the clock runs for the service itself do not mend the share of those that succeeded."""
    await conn.execute(
        "INSERT INTO procrastinate_jobs (queue_name, task_name) "
        "SELECT 'maintenance', 'app.tasks.maintenance.fold_failures' FROM generate_series(1, 50)"
    )
    await conn.execute("UPDATE procrastinate_jobs SET status = 'doing'")
    await conn.execute("UPDATE procrastinate_jobs SET status = 'succeeded'")
    await a_day(conn)
    jobs = (await report_day(conn, yesterday)).jobs
    assert (jobs.made, jobs.succeeded, jobs.failed, jobs.stopped) == (1, 2, 0, 1)


async def test_other_days_are_not_in_it(conn: AsyncConnection, yesterday: date):
    """Neither the day before nor today's failures and jobs are; letters that still wait are, whenever they died."""
    await a_day(conn)
    for day in (yesterday - timedelta(days=1), yesterday + timedelta(days=1)):
        report = await report_day(conn, day)
        assert (report.jobs.made, report.jobs.ended, report.whole.failures, report.groups) == (0, 0, 0, 0)
        assert (report.letters.died, report.letters.pending) == (0, 1)
        assert report.share_ended_well is None


async def test_an_empty_database(conn: AsyncConnection, yesterday: date):
    """A day on which nothing happened has a report too."""
    report = await report_day(conn, yesterday)
    assert (report.jobs.ended, report.whole.retries, report.types, report.worst_groups) == (0, 0, {}, [])


async def test_it_can_be_stored(conn: AsyncConnection, yesterday: date):
    """What is stored is JSON, and the same report comes back from it."""
    await a_day(conn)
    report = await report_day(conn, yesterday, peak_cost_per_hour=3.5)
    assert RetryReport.from_json(json.loads(json.dumps(report.as_json()))) == report


async def test_events_are_found_by_their_time(conn: AsyncConnection):
    """The search by halves finds the first event of a time among thousands, past times that are only meant."""
    await conn.execute("INSERT INTO procrastinate_jobs (queue_name, task_name) VALUES ('q', 't')")
    await conn.execute(
        "INSERT INTO procrastinate_events (job_id, type, at) SELECT 1, "
        "CASE WHEN g % 7 = 0 THEN 'scheduled' ELSE 'started' END::procrastinate_job_event_type, "
        "CASE WHEN g % 7 = 0 THEN timestamptz '2099-01-01' ELSE timestamptz '2030-01-01' + g * interval '1 minute' END "
        "FROM generate_series(1, 5000) g"
    )
    await conn.execute("DELETE FROM procrastinate_events WHERE type = 'deferred' OR id % 11 = 0")
    cursor = await conn.execute(
        "SELECT wanted, afresh.first_event_since(wanted), "
        "       (SELECT min(id) FROM procrastinate_events WHERE type <> 'scheduled' AND at >= wanted), "
        "       (SELECT max(id) FROM procrastinate_events WHERE type <> 'scheduled' AND at < wanted) "
        "FROM generate_series(timestamptz '2029-12-31', '2030-01-05', interval '97 minutes') AS wanted"
    )
    for wanted, found, first, before in await cursor.fetchall():
        assert (before or 0) < found <= (first or found), wanted
