"""`submit(conn, …)` in a transaction of the caller's own: the job is there exactly when their own rows are."""

from typing import Any

import pytest
from psycopg import AsyncConnection

from app.queue.batch import submit_batch
from app.queue.submit import AlreadyQueued, Submission, submit
from app.tasks.maintenance import purge_old_jobs

pytestmark = pytest.mark.anyio


@pytest.fixture
async def orders(conn: AsyncConnection) -> AsyncConnection:
    """A connection to a database with a table of the user's own."""
    await conn.execute("CREATE TABLE orders (id integer PRIMARY KEY)")
    return conn


async def stored(conn: AsyncConnection) -> tuple[int, int]:
    """How many orders and jobs there are."""
    cursor = await conn.execute("SELECT (SELECT count(*) FROM orders), (SELECT count(*) FROM procrastinate_jobs)")
    row = await cursor.fetchone()
    assert row is not None
    return int(row[0]), int(row[1])


def job(queueing_lock: str | None = None) -> Submission:
    """A job to be, with options."""
    return Submission(task_name="sample.add", args={"a": 1}, max_retries=2, queueing_lock=queueing_lock)


async def test_commit(orders: AsyncConnection):
    """Order and job are committed together."""
    async with orders.transaction():
        await orders.execute("INSERT INTO orders VALUES (1)")
        await submit(orders, job())
    assert await stored(orders) == (1, 1)


async def test_rollback(orders: AsyncConnection):
    """A rollback leaves no order, no job, no options and no batch."""
    async with orders.transaction(force_rollback=True):
        await orders.execute("INSERT INTO orders VALUES (1)")
        await submit(orders, job())
        await submit_batch(orders, [job(), job()], task_name="sample.add", actor="me")
        assert await stored(orders) == (1, 3)
    assert await stored(orders) == (0, 0)
    cursor = await orders.execute(
        "SELECT (SELECT count(*) FROM afresh.job_option), (SELECT count(*) FROM afresh.batch)"
    )
    assert await cursor.fetchone() == (0, 0)


async def test_actor(orders: AsyncConnection):
    """Whoever is named as the actor of a job stands in the audit, in the same transaction; without one nobody does."""
    async with orders.transaction():
        await submit(orders, job())
        job_id = await submit(orders, job(), actor="shop")
    async with orders.transaction(force_rollback=True):
        await submit(orders, job(), actor="shop")
    cursor = await orders.execute("SELECT actor, action, target FROM afresh.audit")
    assert await cursor.fetchall() == [("shop", "job.submit", str(job_id))]


async def test_conflict(orders: AsyncConnection):
    """A conflict leaves the caller's transaction usable, and what they did before in it."""
    twin = await submit(orders, job("one"))
    async with orders.transaction():
        await orders.execute("INSERT INTO orders VALUES (1)")
        with pytest.raises(AlreadyQueued) as caught:
            await submit(orders, job("one"))
        with pytest.raises(AlreadyQueued):
            await submit_batch(orders, [job(), job("one")], task_name="sample.add", actor="me")
        await orders.execute("INSERT INTO orders VALUES (2)")
    assert caught.value.job_id == twin
    assert await stored(orders) == (2, 1)


async def test_normal_priority(orders: AsyncConnection):
    """A job of which nobody says how urgent it is has the priority 5, as over HTTP."""
    job_id = await submit(orders, job())
    await submit_batch(orders, [job()], task_name="sample.add", actor="me")
    cursor = await orders.execute("SELECT priority FROM procrastinate_jobs WHERE id >= %s", [job_id])
    assert await cursor.fetchall() == [(5,), (5,)]


async def test_the_tasks_own(conn: AsyncConnection):
    """What a job does not say comes from its task, one by one and in a batch; what it says stays."""

    def cleaning(**said: Any) -> Submission:
        return Submission(task_name=purge_old_jobs.name, **said)

    own = {name: getattr(purge_old_jobs, name) for name in ("queue", "priority", "lock", "queueing_lock")}
    assert None not in own.values()
    await submit(conn, cleaning())
    await submit_batch(conn, [cleaning(queueing_lock="b")], task_name=purge_old_jobs.name, actor="me")
    await submit(conn, cleaning(queue="q", priority=9, lock="l", queueing_lock="c"))
    with pytest.raises(AlreadyQueued, match="purge_old_jobs"):
        await submit(conn, cleaning())
    await submit(conn, Submission(task_name="not.known.here"))
    cursor = await conn.execute("SELECT queue_name, priority, lock, queueing_lock FROM procrastinate_jobs ORDER BY id")
    assert await cursor.fetchall() == [
        tuple(own.values()),
        tuple((own | {"queueing_lock": "b"}).values()),
        ("q", 9, "l", "c"),
        ("default", 5, None, None),
    ]


async def test_without_autocommit(orders: AsyncConnection, database_url: str):
    """A connection that is not in autocommit mode commits when its owner says so, and never before."""
    async with await AsyncConnection.connect(database_url) as plain:
        await submit(plain, job())
        await plain.rollback()
        await submit_batch(plain, [job(), job()], task_name="sample.add", actor="me")
        await plain.rollback()
        assert await stored(orders) == (0, 0)
        await submit(plain, job())
        await plain.commit()
    assert await stored(orders) == (0, 1)
