import pytest
from psycopg import AsyncConnection

from app.store.queues import SQL, list_queues

from .test_jobs import rows_touched

pytestmark = [pytest.mark.anyio, pytest.mark.matrix]

LATER = 12_000
AHEAD = """
INSERT INTO procrastinate_jobs (queue_name, task_name, scheduled_at, attempts)
SELECT 'q', 't' || n %% 3, now() + interval '1 day', (n %% 5 = 0)::integer FROM generate_series(1, %s) n
"""
READY = "INSERT INTO procrastinate_jobs (queue_name, task_name) SELECT %s, 't' FROM generate_series(1, %s)"


@pytest.fixture
async def bare(conn: AsyncConnection) -> AsyncConnection:
    """Without the triggers, which would take seconds to write events."""
    await conn.execute("ALTER TABLE procrastinate_jobs DISABLE TRIGGER USER")
    return conn


async def test_few_are_told_apart(bare: AsyncConnection):
    """Each of a few jobs that wait for their time is looked at: it waits for its first attempt, or for another."""
    await bare.execute(AHEAD, [500])
    (queue,) = await list_queues(bare, name="q")
    assert (queue.scheduled, queue.retrying, queue.is_exact) == (400, 100, True)


async def test_many_are_told_apart_by_a_sample(bare: AsyncConnection):
    """Of many, some are looked at, and all are as those; their sum is exact."""
    await bare.execute(AHEAD, [LATER])
    (queue,) = await list_queues(bare, name="q")
    assert queue.scheduled + queue.retrying == LATER
    assert queue.retrying == pytest.approx(LATER / 5, rel=0.2)
    assert (queue.later_is_exact, queue.are_told_apart, queue.is_exact) == (True, False, False)


async def test_more_than_are_counted(bare: AsyncConnection):
    """However many jobs a queue has, no more are looked at than are counted."""
    await bare.execute(AHEAD, [LATER])
    await bare.execute(READY, ["q", LATER])
    given = {"names": [], "name": "q", "most": 1_000, "closely": 100, "events": 500}
    for statistics in ("old", "new"):
        async with bare.transaction(force_rollback=True):
            await bare.execute(SQL["walk_in_order"])
            assert await rows_touched(bare, SQL["list_queues"], given) <= 2 * 1_000, statistics
        await bare.execute("ANALYZE procrastinate_jobs")


async def test_many_queues(bare: AsyncConnection):
    """Among many queues fewer jobs of each are counted; a queue that is asked for alone is counted further."""
    await bare.execute(READY, ["q", 150])
    await bare.execute(
        "INSERT INTO procrastinate_jobs (queue_name, task_name) SELECT n, 't' FROM generate_series(1, 1000) n"
    )
    among = next(each for each in await list_queues(bare) if each.name == "q")
    assert (among.ready, among.ready_is_exact) == (100, False)
    (alone,) = await list_queues(bare, name="q")
    assert (alone.ready, alone.ready_is_exact) == (150, True)
