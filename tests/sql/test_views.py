"""What the views say about a job: derived, never stored."""

import pytest
from psycopg import AsyncConnection

from app.store.jobs import STATES, STATUSES, JobFilter, list_jobs

pytestmark = [pytest.mark.anyio, pytest.mark.matrix]

PAST, FUTURE = "now() - interval '1 minute'", "now() + interval '1 minute'"


@pytest.mark.parametrize(
    ("status", "scheduled_at", "ran", "state"),
    [
        ("todo", "NULL", "false", "ready"),
        ("todo", PAST, "false", "ready"),
        ("todo", FUTURE, "false", "scheduled"),
        ("todo", FUTURE, "true", "retrying"),
        ("todo", PAST, "true", "ready"),
        ("todo", "NULL", "true", "ready"),
        ("doing", "NULL", "false", "running"),
        ("doing", PAST, "true", "running"),
        ("succeeded", FUTURE, "true", "succeeded"),
        ("failed", "NULL", "true", "failed"),
        ("cancelled", FUTURE, "false", "cancelled"),
        ("aborted", "NULL", "true", "aborted"),
    ],
)
async def test_state(conn: AsyncConnection, status: str, scheduled_at: str, ran: str, state: str):
    """A job's state follows from its status, its time and whether it has run."""
    cursor = await conn.execute(f"SELECT afresh.job_state('{status}', {scheduled_at}, {ran})")
    assert await cursor.fetchone() == (state,)


@pytest.mark.parametrize("queue", [None, "q"])
async def test_a_search_by_state(conn: AsyncConnection, queue: str | None):
    """A search by state finds the jobs that are shown in it, and each job is found in one state."""
    for status in STATUSES:
        for scheduled_at in ("NULL", PAST, FUTURE):
            for attempts in (0, 1):
                job_id = await make_job(conn, status, attempts)
                await schedule(conn, job_id, scheduled_at)
    snoozed = await make_job(conn)
    await schedule(conn, snoozed, FUTURE)
    await record(conn, snoozed, "snoozed", None)
    found: list[int] = []
    for state in STATES:
        page = await list_jobs(conn, JobFilter(state=state, queue=queue), limit=100)
        assert {row["state"] for row in page.items} <= {state}
        assert page.total == len(page.items) > 0
        found += [row["job_id"] for row in page.items]
    assert sorted(found) == list(range(min(found), snoozed + 1))


async def schedule(conn: AsyncConnection, job_id: int, at: str) -> None:
    """Give a job its time, an SQL expression."""
    await conn.execute(f"UPDATE procrastinate_jobs SET scheduled_at = {at} WHERE id = %s", (job_id,))  # noqa: S608  The expressions above.


async def make_job(conn: AsyncConnection, status: str = "todo", attempts: int = 0) -> int:
    """A job in the bare table."""
    cursor = await conn.execute(
        "INSERT INTO procrastinate_jobs (queue_name, task_name, status, attempts) "
        "VALUES ('q', 't', %s, %s) RETURNING id",
        [status, attempts],
    )
    row = await cursor.fetchone()
    assert row is not None
    return int(row[0])


async def record(conn: AsyncConnection, job_id: int, outcome: str, message: str | None) -> None:
    """An ended run in our history."""
    failed = message is not None
    await conn.execute(
        "INSERT INTO afresh.attempt (job_id, attempt, outcome, counted, task_name, queue_name, started_at, ended_at, "
        "failure_type, message, decision, next_run_at) "
        "VALUES (%s, 1, %s, %s, 't', 'q', now(), now(), %s, %s, %s, now())",
        [job_id, outcome, failed, "UNKNOWN" if failed else None, message, "retry" if failed else "snooze"],
    )


async def test_last_failure(conn: AsyncConnection):
    """The last failure is that of the last run that failed, not of one that its worker gave back."""
    job_id = await make_job(conn, attempts=1)
    await record(conn, job_id, "failed", "broken")
    await record(conn, job_id, "released", None)
    cursor = await conn.execute("SELECT last_failure_type, last_message FROM afresh.jobs WHERE id = %s", [job_id])
    assert await cursor.fetchone() == ("UNKNOWN", "broken")


async def test_a_run_that_did_not_count(conn: AsyncConnection):
    """A job that waits after a run that did not count is retrying all the same: it has run."""
    job_id = await make_job(conn)
    await conn.execute(f"UPDATE procrastinate_jobs SET scheduled_at = {FUTURE}")  # noqa: S608 - a constant of ours.
    await record(conn, job_id, "released", None)
    cursor = await conn.execute("SELECT state FROM afresh.jobs WHERE id = %s", [job_id])
    assert await cursor.fetchone() == ("retrying",)


async def test_successes_need_no_row_of_ours(conn: AsyncConnection):
    """A success shows as an attempt from Procrastinate's events alone, with when it began and ended."""
    job_id = await make_job(conn)
    await conn.execute("UPDATE procrastinate_jobs SET status = 'doing' WHERE id = %s", [job_id])
    await conn.execute("UPDATE procrastinate_jobs SET status = 'succeeded', attempts = 1 WHERE id = %s", [job_id])
    cursor = await conn.execute(
        "SELECT attempt, outcome, counted, ended_at >= started_at, duration >= interval '0' "
        "FROM afresh.attempts WHERE job_id = %s",
        [job_id],
    )
    assert await cursor.fetchall() == [(1, "succeeded", True, True, True)]


async def test_waiting_for(conn: AsyncConnection):
    """A job that is held back says by what."""
    paused, blocked = await make_job(conn), await make_job(conn)
    await conn.execute("UPDATE procrastinate_jobs SET queue_name = 'paused' WHERE id = %s", [paused])
    await conn.execute("INSERT INTO afresh.hold (kind, name, reason, held_by) VALUES ('queue', 'paused', 'r', 'me')")
    await conn.execute(
        "INSERT INTO procrastinate_jobs (queue_name, task_name, lock, status) VALUES ('q', 't', 'l', 'doing')"
    )
    await conn.execute("UPDATE procrastinate_jobs SET lock = 'l' WHERE id = %s", [blocked])
    cursor = await conn.execute("SELECT id, waiting_for FROM afresh.jobs WHERE status = 'todo' ORDER BY id")
    assert await cursor.fetchall() == [(paused, "queue_paused"), (blocked, "lock")]
