"""Of the jobs that share a lock only one runs at a time, in their order, and none of them is in the way of others."""

import asyncio

import psycopg
import pytest

from app.postgres.connect import Database

from ..eventually import eventually
from .jobs import add, claim, claimed_ids, job, register, rows, settle_successes, value

pytestmark = [pytest.mark.anyio, pytest.mark.matrix]

Connection = psycopg.AsyncConnection


async def test_one_at_a_time(conn: Connection):
    """Of the jobs that share a lock a claim takes one."""
    first, _ = await add(conn, 2, lock="a")
    (other,) = await add(conn, lock="b")
    assert await claimed_ids(conn) == [first, other]


async def test_none_while_one_runs(conn: Connection):
    """While a job runs no other with its lock is taken."""
    await add(conn, 2, lock="a")
    await claim(conn, 1)
    assert await claim(conn) == []


async def test_the_next_follows_in_order(conn: Connection):
    """When the job ends the next of its lock may run, oldest first."""
    ids = await add(conn, 3, lock="a")
    worker = await register(conn)
    for expected in ids:
        assert await claimed_ids(conn, worker=worker) == [expected]
        await settle_successes(conn, worker, {expected: 0})


async def test_higher_priority_overtakes_within_a_lock(conn: Connection):
    """Within a lock a job of higher priority goes first, whenever it came."""
    (first,) = await add(conn, lock="a")
    (urgent,) = await add(conn, lock="a", priority=5)
    worker = await register(conn)
    assert await claimed_ids(conn, worker=worker) == [urgent]
    await settle_successes(conn, worker, {urgent: 0})
    assert await claimed_ids(conn, worker=worker) == [first]


async def test_a_far_head_keeps_its_lock_waiting(conn: Connection):
    """As in Procrastinate, the first job of a lock keeps the later ones waiting also when its own time is far."""
    await add(conn, lock="a", due_in=3600)
    await add(conn, lock="a")
    await add(conn, lock="a", due_in=-60)
    assert await claim(conn) == []


async def test_a_head_in_another_queue_keeps_its_lock_waiting(conn: Connection):
    """A lock spans queues, also those that this worker does not serve."""
    await add(conn, lock="a", queue="other")
    await add(conn, lock="a")
    assert await claim(conn, queues=["q"]) == []


@pytest.mark.parametrize("priority", [0, 5])
async def test_a_crowd_on_a_busy_lock_hides_nothing(conn: Connection, priority: int):
    """5 000 jobs behind one busy lock are not in the way of jobs without a lock, nor of other locks."""
    await add(conn, 5000, lock="busy", priority=priority)
    free = await add(conn, 2)
    (locked,) = await add(conn, lock="other")
    assert await claimed_ids(conn, 1) != free[:1] or priority == 0
    assert {*free, locked} <= set(await claimed_ids(conn, 10))


async def test_many_crowds_hide_nothing(conn: Connection):
    """Where whole crowds behind many locks are blocked, a job of another lock is still found within a few claims."""
    for number in range(40):
        await add(conn, 100, lock=f"busy-{number:03}")
    worker = await register(conn)
    while await claim(conn, 50, worker=worker):
        pass
    (locked,) = await add(conn, lock="zebra")
    assert await claimed_ids(conn, 10, worker=worker) == [locked]


async def test_more_locks_than_one_look_covers(conn: Connection):
    """Also behind more blocked locks than one look covers, a runnable job is found: each look goes on where the last
    one of its connection stopped.
    """  # noqa: D205 - one sentence
    for number in range(600):
        await add(conn, 2, lock=f"busy-{number:03}")
    worker = await register(conn)
    while await claim(conn, 500, worker=worker):
        pass
    (locked,) = await add(conn, lock="zebra")
    assert [locked] in [await claimed_ids(conn, 10, worker=worker) for _ in range(3)]


async def test_the_empty_lock_is_a_lock(conn: Connection):
    """An empty text is a lock like any other, also where its crowd must be hopped over."""
    await add(conn, 500, lock="busy")
    await claim(conn, 1)
    first, _ = await add(conn, 2, lock="")
    assert await claimed_ids(conn, 1) == [first]
    assert await claimed_ids(conn, 1) == []


async def test_a_lost_race_for_a_lock_raises_nothing(conn: Connection, db: Database):
    """A claim that loses the race for a lock takes jobs without a lock instead, and never raises."""
    await add(conn, lock="a")
    (free,) = await add(conn, priority=-1)
    async with await db.connect_async() as rival:
        async with rival.transaction():
            (won,) = await claimed_ids(rival, 1)
            await add(conn, lock="a", priority=9)
            losing = asyncio.create_task(claimed_ids(conn, 10))
            await _until_waiting(db)
        assert await losing == [free]
    assert (await job(conn, won))["status"] == "doing"


async def test_claims_that_wait_for_each_other_raise_nothing(conn: Connection, db: Database):
    """Where two claims each hold a lock that the other one wants, neither raises: one of them lets go of it."""
    await add(conn, lock="a")
    async with await db.connect_async() as rival, await db.connect_async() as newcomer:
        async with rival.transaction():
            assert len(await claimed_ids(rival, 1)) == 1
            await add(conn, lock="b")
            await add(conn, lock="a", priority=9)
            (free,) = await add(conn, priority=-1)
            crossing = asyncio.create_task(claimed_ids(conn, 10))  # Has b, and waits for a.
            await _until_waiting(db)
            await add(newcomer, lock="b", priority=9)
            await claimed_ids(rival, 1)  # Has a, and waits for b.
        assert free in await crossing
    running = await rows(conn, "SELECT lock FROM procrastinate_jobs WHERE status = 'doing' AND lock IS NOT NULL")
    assert "a" in [each["lock"] for each in running]


async def _until_waiting(db: Database) -> None:
    """Return when a connection waits for another's transaction."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    async with await db.connect_async() as watcher:
        await eventually(lambda: value(watcher, query))
