"""The pace of forgetting, and that one purge works at a time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from itertools import count
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from app.postgres.connect import Database
from app.queue.app import Afresh
from app.queue.purge import LEASE, PATIENCE, URGENT, hurry, purge
from app.store.retention import Terms, hold_purge, read_purge
from app.telemetry import Event, HistoryPurged

from ..eventually import eventually
from .jobs import value
from .workers import working

pytestmark = [pytest.mark.anyio, pytest.mark.matrix]

Connection = psycopg.AsyncConnection


async def finish(conn: Connection, jobs: int) -> None:
    """Jobs that succeeded long ago."""
    await conn.execute(
        "INSERT INTO procrastinate_jobs (queue_name, task_name) SELECT 'q', 't' FROM generate_series(1, %s)", [jobs]
    )
    await conn.execute("UPDATE procrastinate_jobs SET status = 'doing'")
    await conn.execute("UPDATE procrastinate_jobs SET status = 'succeeded'")
    await conn.execute("UPDATE procrastinate_events SET at = now() - interval '8 days'")


class Lender:
    """Lends one connection, and counts how often."""

    def __init__(self, conn: Connection) -> None:
        self.conn = conn
        self.lent = count()

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[Connection]:
        """The connection."""
        next(self.lent)
        yield self.conn


async def left(conn: Connection) -> int:
    """Jobs that are still there."""
    return int(await value(conn, "SELECT count(*) FROM procrastinate_jobs"))


async def test_everything_goes(conn: Connection, events: list[Event]):
    """A run that has the time removes all there is, says so, and gives the lease back."""
    await finish(conn, 1_200)
    done = await purge(Lender(conn), Terms(), rest=0)
    assert (dict(done.removed), done.after, done.busy, await left(conn)) == ({"jobs": 1_200}, {}, False, 0)
    (event,) = [each for each in events if isinstance(each, HistoryPurged)]
    assert (event.removed, event.is_done) == ({"jobs": 1_200}, True)
    last = await read_purge(conn)
    assert last is not None
    assert last.ended_at is not None
    assert (last.removed, last.at_work) == ({"jobs": 1_200}, False)


async def test_a_run_ends_in_time(conn: Connection):
    """A run whose time is over says where it has come to, and the next goes on from there until all is done."""
    await finish(conn, 1_200)
    done = await purge(Lender(conn), Terms(), seconds=0, rest=0)
    assert 0 < done.removed["jobs"] < 1_200
    assert list(done.after) == ["jobs"]
    while done.after:
        done = await purge(Lender(conn), Terms(), after=done.after, seconds=0, rest=0)
    assert await left(conn) == 0


async def test_it_rests(conn: Connection):
    """After each slice it rests, and holds no connection meanwhile."""
    await finish(conn, 1_200)
    lender = Lender(conn)
    at_work = asyncio.create_task(purge(lender, Terms(), rest=1_000_000))

    async def begun() -> bool:
        return await left(conn) < 1_200

    await eventually(begun)
    assert not at_work.done()
    at_work.cancel()
    await asyncio.gather(at_work, return_exceptions=True)
    assert await left(conn) >= 200


async def test_two_at_once(conn: Connection, db: Database):
    """Of two that begin at the same moment one does the work, and the other nothing."""
    await finish(conn, 3_000)
    async with await db.connect_async() as other:
        both = await asyncio.gather(*(purge(Lender(each), Terms(), rest=0.4) for each in (conn, other)))
    assert sorted(each.busy for each in both) == [False, True]
    assert [sum(each.removed.values()) for each in both if each.busy] == [0]
    assert sum(each.removed["jobs"] for each in both) == 3_000
    assert await left(conn) == 0


async def test_without_a_lease_two_share_the_work(conn: Connection, db: Database):
    """Where a lease ran out while its holder was slow, two at once skip each other's jobs: no error, nothing twice."""
    await finish(conn, 3_000)
    async with await db.connect_async() as other:

        async def steal() -> Any:
            await conn.execute("UPDATE afresh.purge SET held_until = 'epoch'")
            return await purge(Lender(other), Terms(), rest=0.01)

        first, second = await asyncio.gather(purge(Lender(conn), Terms(), rest=0.01), steal())
    assert first.removed["jobs"] + second.removed["jobs"] == 3_000
    assert await left(conn) == 0


async def test_a_purge_that_died_is_succeeded(conn: Connection):
    """A lease is in force until it runs out, and then the next purge has it."""
    assert await hold_purge(conn, uuid4(), lease=LEASE, removed={})
    assert not await hold_purge(conn, uuid4(), lease=LEASE, removed={})
    await conn.execute("UPDATE afresh.purge SET held_until = now() - interval '1 second'")
    assert await hold_purge(conn, uuid4(), lease=timedelta(0), removed={})


async def test_the_row_of_the_lease_may_be_missing(conn: Connection):
    """A database whose tables were emptied gets it anew."""
    await conn.execute("TRUNCATE afresh.purge")
    assert await hold_purge(conn, uuid4(), lease=LEASE, removed={})


PURGE = "app.tasks.maintenance.purge_old_jobs"


LEARNING = "app.tasks.analytics.refresh_retry_statistics"
THEIRS = "shop.tasks.maintenance.purge_old_jobs"


@pytest.mark.parametrize(
    ("name", "late", "priority"),
    [
        (PURGE, PATIENCE / 2, 1),
        (PURGE, 2 * PATIENCE, URGENT),
        (LEARNING, PATIENCE / 2, 1),
        (LEARNING, 2 * PATIENCE, URGENT),
        (THEIRS, 2 * PATIENCE, 1),
    ],
)
async def test_it_gives_way_for_a_time(queue_app: Afresh, conn: Connection, name: str, late: timedelta, priority: int):
    """A purge gives way to all other jobs until it is overdue, then goes before them; so do the clock's other tasks."""
    await conn.execute(
        "INSERT INTO procrastinate_jobs (queue_name, task_name, priority, queueing_lock, args) "
        "SELECT 'q', %s, 1, %s, jsonb_build_object('timestamp', extract(epoch FROM now() - %s))",
        [name, name.rpartition(".")[2], late],
    )
    await hurry(queue_app)
    assert await value(conn, "SELECT priority FROM procrastinate_jobs") == priority


async def test_a_steady_stream_of_work(queue_app: Afresh):
    """Where other work never ends, an overdue purge runs nevertheless, in a worker that has room for one job."""

    @queue_app.task(name=PURGE)
    async def forget(timestamp: float) -> None:
        del timestamp  # As the real one has it.
        purged.set()

    @queue_app.task(name="stream", priority=10)
    async def go_on() -> None:
        if not purged.is_set():
            await go_on.defer_async()

    purged = asyncio.Event()
    # More than a worker claims at once: else it would take the purge, too.
    await go_on.batch_defer_async(*[{} for _ in range(1_000)])
    overdue = forget.configure(priority=1, queue="cleanup", queueing_lock="purge_old_jobs")
    await overdue.defer_async(timestamp=0)
    async with working(queue_app, concurrency=1, update_heartbeat_interval=0.2):
        await asyncio.wait_for(purged.wait(), 30)
