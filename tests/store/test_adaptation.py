"""How retries went, counted from the history; how deep a queue is, counted without what is held back."""

from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from app.store.adaptation import LEARNED_FROM, count_ready, read_samples, refresh_samples, sum_put_off
from app.store.failures import fold_failures

from ..queue.jobs import add, hold, rows, value
from .history import fail, put_off, recover

pytestmark = pytest.mark.anyio

Connection = psycopg.AsyncConnection
NOTHING: tuple[list[str], list[str]] = ([], [])


async def samples(conn: Connection, **options: Any) -> dict[str, tuple[int, int]]:
    """Retries and successes by failure type, counted anew."""
    await refresh_samples(conn, **options)
    return {each.failure_type: (each.retries, each.successes) for each in await read_samples(conn)}


async def die(conn: Connection, job_id: int, *types: str) -> None:
    """A job without a row that fails so, one type after the other, and is buried."""
    for attempt, kind in enumerate(types, 1):
        decision = "dead_letter" if attempt == len(types) else "retry"
        await fail(conn, job_id=job_id, attempt=attempt, failure_type=kind, decision=decision)


@pytest.mark.parametrize("folded", [False, True])
async def test_a_retry_counts_for_the_failure_before_it(conn: Connection, *, folded: bool):
    """A retry succeeds if the next attempt does, and fails if that fails, in whatever way; both count for what it
    came after, and so they do when the failures are folded.
    """  # noqa: D205 - one sentence
    await die(conn, 90, "A", "B", "B")
    await recover(conn, failures=2, failure_type="A")
    if folded:
        await fold_failures(conn)
    assert await samples(conn) == {"A": (3, 1), "B": (1, 0)}


async def test_what_has_not_ended_is_no_sample(conn: Connection):
    """A retry that still waits, an attempt that was given back, and one that was aborted say nothing."""
    await fail(conn, job_id=1, failure_type="A")
    await fail(conn, job_id=2, failure_type="A")
    await conn.execute(
        "INSERT INTO afresh.attempt (job_id, attempt, outcome, counted, task_name, queue_name, started_at, ended_at)"
        " VALUES (2, 2, 'aborted', true, 't', 'q', now(), now())"
    )
    assert await samples(conn) == {}


async def test_only_the_last_week_counts(conn: Connection):
    """What is older than seven days is forgotten."""
    await die(conn, 1, "A", "A")
    await conn.execute("UPDATE afresh.attempt SET ended_at = now() - %s * 1.1, started_at = now() - %s * 2",
                       [LEARNED_FROM, LEARNED_FROM])  # fmt: skip
    await die(conn, 2, "B", "B")
    assert await samples(conn) == {"B": (1, 0)}


async def test_the_work_is_bounded(conn: Connection):
    """Where there are more attempts than may be looked at, only those of the latest hours are."""
    for hours_ago in (30, 20, 10):
        await fail(conn, job_id=hours_ago, hours_ago=hours_ago, failure_type=f"H{hours_ago}")
        await fail(conn, job_id=hours_ago, hours_ago=hours_ago, failure_type="X", attempt=2, decision="dead_letter")
    assert await samples(conn) == {"H30": (1, 0), "H20": (1, 0), "H10": (1, 0)}
    assert await samples(conn, most=3) == {"H10": (1, 0)}


async def test_what_is_forgotten_goes(conn: Connection):
    """Counting anew replaces what was counted before."""
    await die(conn, 1, "A", "A")
    assert await samples(conn) == {"A": (1, 0)}
    await conn.execute("DELETE FROM afresh.attempt")
    assert await samples(conn) == {}


async def test_depth(conn: Connection):
    """Ready jobs of the queue are counted, due ones too, up to a limit; not those of tomorrow and of other queues."""
    await add(conn, 5)
    await add(conn, 3, due_in=-10, priority=2)
    await add(conn, 7, due_in=3600)
    await add(conn, 9, queue="other")
    assert await count_ready(conn, "q", own=NOTHING, most=100) == 8
    assert await count_ready(conn, "q", own=NOTHING, most=6) == 6


async def test_what_is_held_back_is_not_ready(conn: Connection):
    """Neither jobs of a dependency that is down, the task's or their own, nor those of a paused queue."""
    await add(conn, 4)
    await add(conn, 10, task="calls")
    await add(conn, 20, dependency="down")
    await hold(conn, "dependency", "down")
    assert await count_ready(conn, "q", own=(["calls"], ["down"]), most=100) == 4
    await hold(conn, "queue", "q")
    assert await count_ready(conn, "q", own=NOTHING, most=100) == 0


async def test_held_jobs_cost_nothing_to_count(conn: Connection):
    """A count touches no job of a lane that is held, however many there are."""
    await add(conn, 20_000, dependency="down")
    await add(conn, 50)
    await hold(conn, "dependency", "down")
    await count_ready(conn, "q", own=NOTHING, most=100)
    explain = "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) SELECT afresh.ready_depth('q', '{}', '{}', 100)"
    plan = (await value(conn, explain))[0]["Plan"]
    assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] < 200


async def test_only_runs_after_the_peak_save(conn: Connection):
    """What ran after the peak is summed, successes and failures; what an operator ran before is not, and what was put
    off again has not run in between.
    """  # noqa: D205 - one sentence
    later, sooner, waits, failed, again = await add(conn, 5)
    now = datetime.now(UTC)
    for job_id in (later, sooner, waits, failed, again, again):
        await put_off(conn, job_id)
    await conn.execute(
        "UPDATE afresh.attempt SET started_at = %s, ended_at = %s, next_run_at = %s "
        "WHERE id = (SELECT max(id) FROM afresh.attempt)",
        [now - timedelta(hours=2), now - timedelta(hours=2), now - timedelta(hours=1)],
    )
    for job_id, ago in ((later, 60), (sooner, 150), (again, 60)):
        began = now - timedelta(minutes=ago)
        await conn.execute("DELETE FROM procrastinate_events WHERE job_id = %s", [job_id])
        await conn.execute(
            "INSERT INTO procrastinate_events (job_id, type, at) VALUES (%s, 'started', %s), (%s, 'succeeded', %s)",
            [job_id, began, job_id, began + timedelta(minutes=6)],
        )
    await fail(conn, job_id=failed)
    found = await sum_put_off(conn, now - timedelta(hours=24))
    assert (found.put_off, found.runs, found.spent, found.is_exact) == (6, 3, timedelta(minutes=12, seconds=2), True)
    assert (await sum_put_off(conn, now)).put_off == 0


async def test_refreshing_beside_readers(conn: Connection, db: Any):
    """Whoever reads while it is counted anew is not held up, and sees the former numbers."""
    await die(conn, 1, "A", "A")
    await refresh_samples(conn)
    async with await db.connect_async() as other, other.transaction():
        await refresh_samples(other)
        await conn.execute("SET statement_timeout = '10s'")
        assert len(await rows(conn, "SELECT FROM afresh.retry_sample")) == 1
