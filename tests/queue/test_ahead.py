"""Jobs that a worker claims before it can start them: few, for an instant, and lost to nobody."""

import asyncio
import time
from random import Random
from typing import Any

import psycopg
import pytest

from app.queue import worker as worker_module
from app.queue.app import Afresh
from app.queue.claim import Claims
from app.retry.breaker.counting import Counted, Report
from app.store import breakers, holds

from ..eventually import eventually
from .conftest import OpenApp
from .dependencies import NAME, REFUSED, RULES, open_breaker, ramp, registered
from .jobs import add, attempts, job, register, rows, status, value
from .workers import NO_POLL, Gate, all_succeeded, as_task, idle, is_, nothing, working

pytestmark = pytest.mark.anyio

Connection = psycopg.AsyncConnection

SHORT_JOBS = 400


@pytest.fixture
def not_stale(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let jobs claimed ahead stay until something else than their age makes them go back."""
    monkeypatch.setattr(worker_module, "STALE_AHEAD", 60.0)


async def quick_worker_with_jobs_ahead(  # noqa: PLR0913 - of which task, how many, and with what lock
    app: Afresh, gate: Gate, worker: Any, count: int, *, lock: str = "", task: str = "gated"
) -> list[int]:
    """Jobs of which one runs and the others are claimed ahead, by a worker that has seen short ones only."""
    if "short" in app.tasks:
        await has_run_short_jobs(worker)
    gated = app.tasks[task]
    locks = [f"{lock}-{number}" if lock else None for number in range(count)]
    ids = [await gated.configure(queueing_lock=each).defer_async() for each in locks]
    await eventually(lambda: gate.running and len(worker._ahead) == count - 1)
    return ids


@pytest.fixture
async def short_jobs(queue_app: Afresh) -> None:
    """Enough jobs that take no time to make a worker claim ahead."""
    await queue_app.task(name="short")(nothing).batch_defer_async(*[{}] * SHORT_JOBS)


async def has_run_short_jobs(worker: Any) -> None:
    """Return when a worker has run them all, and takes them for short, also where the machine paused meanwhile."""
    await eventually(lambda: worker.settler.landed == SHORT_JOBS)
    worker._average = min(worker._average, 0.001)


@pytest.fixture
async def gate(queue_app: Afresh, short_jobs: None) -> Gate:  # noqa: ARG001 - they come first
    """A task that runs until it is let go."""
    gate = Gate()
    queue_app.task(name="gated")(as_task(gate))
    return gate


async def test_looking_ahead_is_bounded(queue_app: Afresh, short_jobs: None):  # noqa: ARG001 - they are run
    """Where jobs are short a little more is claimed than runs at once, and never more than 200."""
    async with working(queue_app, concurrency=2) as worker:
        await eventually(lambda: worker.settler.landed == SHORT_JOBS)
        worker._average = 1e-9
        assert worker._room() == 202


async def test_nothing_ahead_where_jobs_are_long(queue_app: Afresh, conn: Connection):
    """A worker that knows nothing of its jobs claims what it can start."""
    gate = Gate()
    await queue_app.task(name="gated")(as_task(gate)).batch_defer_async(*[{}] * 10)
    async with working(queue_app, concurrency=4) as worker:
        await eventually(lambda: gate.running == 4)
        assert len(worker._ahead) == 0
        assert await value(conn, "SELECT count(*) FROM procrastinate_jobs WHERE status = 'doing'") == 4
        gate.open.set()


async def test_free_slots_are_filled_beside_long_jobs(queue_app: Afresh, conn: Connection):
    """A worker whose jobs are mostly short fills its free slots also while long ones hold most of the others."""
    gate = Gate()
    await queue_app.task(name="gated")(as_task(gate)).batch_defer_async(*[{}] * 7)
    queue_app.task(name="t")(nothing)
    async with working(queue_app, concurrency=10, **NO_POLL) as worker:
        await eventually(lambda: gate.running == 7)
        worker._average = 0.25  # As after many jobs of that length: two more than can run are wanted in hand.
        (job_id,) = await add(conn)
        await eventually(lambda: is_(conn, job_id, "succeeded"))
        gate.open.set()


async def test_jobs_ahead_of_a_long_one_go_back(queue_app: Afresh, conn: Connection, gate: Gate):
    """Jobs claimed ahead that a long job keeps from starting go back within an instant, at no cost and for good."""
    async with working(queue_app, concurrency=1) as worker:
        await has_run_short_jobs(worker)
        ids = await queue_app.tasks["gated"].batch_defer_async(*[{}] * 3)  # Ahead they may be seen by nobody.
        await eventually(lambda: _went_back(conn, ids[1:]), 10)
        taken = await value(conn, "SELECT count(*) FROM procrastinate_events WHERE type = 'started'")
        quiet = time.monotonic() + 0.5
        await eventually(lambda: time.monotonic() > quiet)
        assert await value(conn, "SELECT count(*) FROM procrastinate_events WHERE type = 'started'") == taken
        assert [(await job(conn, each))["attempts"] for each in ids] == [0, 0, 0]
        gate.open.set()
        await eventually(lambda: all_succeeded(conn))


async def _went_back(conn: Connection, ids: list[int]) -> bool:
    """Whether these jobs were claimed, and wait again."""
    found = [await job(conn, each) for each in ids]
    return all(each["status"] == "todo" and each["afresh_claim"] is not None for each in found)


@pytest.mark.usefixtures("not_stale")
async def test_another_worker_takes_what_goes_back(queue_app: Afresh, conn: Connection, gate: Gate, open_app: OpenApp):
    """Jobs that are given back wake a worker that has room for them."""
    other = await open_app()
    other.task(name="gated")(nothing)
    async with working(queue_app, concurrency=1) as worker:
        ids = await quick_worker_with_jobs_ahead(queue_app, gate, worker, 3)
        async with working(other, **NO_POLL) as idler:
            await idle(idler)
            worker._let_go()
            await eventually(lambda: is_(conn, ids[2], "succeeded"))
        gate.open.set()


@pytest.mark.usefixtures("not_stale")
async def test_jobs_ahead_of_a_paused_queue_go_back(queue_app: Afresh, conn: Connection, gate: Gate):
    """When a queue is paused its jobs that were claimed but not started go back."""
    async with working(queue_app, concurrency=1) as worker:
        ids = await quick_worker_with_jobs_ahead(queue_app, gate, worker, 3)
        await holds.hold(conn, "queue", "default", reason="why", actor="me")
        await eventually(lambda: is_(conn, ids[2], "todo"))
        gate.open.set()
        await eventually(lambda: is_(conn, ids[0], "succeeded"))
    assert [await status(conn, each) for each in ids[1:]] == ["todo", "todo"]


@pytest.mark.usefixtures("not_stale")
@pytest.mark.parametrize("told", [True, False], ids=["told late", "not told"])
async def test_jobs_ahead_of_a_tripped_breaker_go_back(
    queue_app: Afresh,
    conn: Connection,
    *,
    told: bool,
):
    """A worker whose own report opens a breaker, and which sees so before it hears so, gives back what waits in it."""
    gate = Gate()
    begun = 0

    async def failing() -> None:
        nonlocal begun
        begun += 1
        await gate()
        gate.open.clear()
        raise ConnectionRefusedError(111, "Connection refused")

    gated = registered(failing, depends_on=NAME)
    options = {"listen_notify": False, "fetch_job_polling_interval": 0.05, "shutdown_graceful_timeout": 0.05}
    async with working(queue_app, concurrency=1, **options) as worker:
        await eventually(lambda: hasattr(worker, "_average"))  # Nobody waits for its listener: there is none.
        worker._average = 1e-4
        ids = await quick_worker_with_jobs_ahead(queue_app, gate, worker, 4, task=gated.name)
        await fail_once_less(conn)
        gate.open.set()
        await eventually(lambda: is_(conn, ids[0], "todo"))
        await eventually(lambda: bool(queue_app.dependencies.snapshot.gated()))
        assert (begun, len(worker._ahead)) == (2, 2)
        if told:
            await worker._handle_notification(channel="afresh_wake", notification={"type": "breaker"})
            assert [await status(conn, each) for each in ids[1:]] == ["doing", "todo", "todo"]
        gate.open.set()
        await eventually(lambda: is_(conn, ids[1], "todo"))
        await eventually(lambda: not (worker._ahead or worker._running_jobs))
    assert begun == 2
    assert [(await job(conn, each))["attempts"] for each in ids[2:]] == [0, 0]
    assert [await attempts(conn, each) for each in ids[2:]] == [[], []]


async def fail_once_less(conn: Connection) -> None:
    """Report one failure less than opens the breaker, as another worker would have by now."""
    now = await value(conn, "SELECT clock_timestamp()")
    failures = tuple(Counted(int(now.timestamp()) - ago, -ago, REFUSED) for ago in range(5, 1, -1))
    said = Report(generation=0, at=now, failures=failures, last_failure_at=now)
    await breakers.report(conn, NAME, said, RULES, Random(1))


async def test_what_lets_fewer_in(queue_app: Afresh, conn: Connection):
    """What is ahead is looked after when a breaker opens, out of its ramp too, and not when it lets more in."""
    gate = Claims(queue_app, await register(conn), None).gate
    told = []
    fell, lets_more_in = ("ramping", "open"), ("half_open", "open", "half_open", "ramping", "ramping", "closed")
    for now in (*fell, *lets_more_in, *fell):
        await conn.execute(
            "INSERT INTO afresh.breaker (name, state) VALUES (%s, %s)"
            " ON CONFLICT (name) DO UPDATE SET state = excluded.state",
            (NAME, now),
        )
        await queue_app.dependencies.refresh()
        told.append(gate.has_shut())
    assert told == [True, True, *[False] * 6, True, True]


@pytest.mark.usefixtures("not_stale")
async def test_jobs_ahead_of_a_ramp_that_falls_go_back(queue_app: Afresh, conn: Connection):
    """When a dependency falls again in its ramp, its jobs that were let in and have not begun go back."""
    gate = Gate()
    gated = registered(as_task(gate), depends_on=NAME)
    await open_breaker(conn)
    ids = await gated.batch_defer_async(*[{}] * 4)
    async with working(queue_app, concurrency=1) as worker:
        worker._average = 1e-4
        await ramp(conn, rate=1000)  # The worker hears so, and has seen the ramp by the time it falls.
        await eventually(lambda: gate.running and len(worker._ahead) == 3)
        await breakers.isolate(conn, NAME, actor="me", reason="it is down again")
        await eventually(lambda: is_(conn, ids[-1], "todo"))
        gate.open.set()
        await eventually(lambda: not worker._running_jobs)
    assert await status(conn, ids[0]) == "succeeded"
    assert [await status(conn, each) for each in ids[1:]] == ["todo"] * 3


@pytest.mark.usefixtures("not_stale")
async def test_jobs_ahead_go_back_when_the_worker_stops(queue_app: Afresh, conn: Connection, gate: Gate):
    """A worker that drains gives back at once what it has not started."""
    async with working(queue_app, concurrency=1) as worker:
        ids = await quick_worker_with_jobs_ahead(queue_app, gate, worker, 3)
        worker.stop()
        await eventually(lambda: is_(conn, ids[2], "todo"))
        gate.open.set()
    assert [await status(conn, each) for each in ids] == ["succeeded", "todo", "todo"]


@pytest.mark.usefixtures("not_stale")
async def test_a_worker_does_not_end_before_its_jobs_have_gone_back(
    queue_app: Afresh, conn: Connection, database_url: str, gate: Gate
):
    """Jobs that are on their way back when the worker is told to stop go back before it has ended."""
    async with working(queue_app, concurrency=1) as worker, await Connection.connect(database_url) as other:
        ids = await quick_worker_with_jobs_ahead(queue_app, gate, worker, 3)
        await other.execute("SELECT FROM procrastinate_jobs WHERE id = %s FOR UPDATE", (ids[1],))
        await holds.hold(conn, "queue", "default", reason="why", actor="me")
        await eventually(lambda: _somebody_waits(conn))
        worker.stop()
        gate.open.set()
        await eventually(lambda: is_(conn, ids[0], "succeeded"))
        await eventually(lambda: worker.worker_id is None or worker._letting_go.locked())
    assert [await status(conn, each) for each in ids] == ["succeeded", "todo", "todo"]
    assert [await attempts(conn, each) for each in ids[1:]] == [[], []]


async def _somebody_waits(conn: Connection) -> bool:
    query = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    return bool(await rows(conn, query))


@pytest.mark.usefixtures("not_stale")
async def test_a_job_ahead_whose_twin_waits_stays(queue_app: Afresh, conn: Connection, gate: Gate):
    """A job that cannot go back, because another waits with its queueing lock, is run here, and lost to nobody."""
    async with working(queue_app, concurrency=1, queues=["default"]) as worker:
        ids = await quick_worker_with_jobs_ahead(queue_app, gate, worker, 3, lock="same")
        (twin,) = await add(conn, queueing_lock="same-1", queue="elsewhere")
        await worker.release_ahead()
        gate.open.set()
        await eventually(lambda: is_(conn, ids[2], "succeeded"))
        await eventually(lambda: is_(conn, ids[1], "succeeded"))
    assert await status(conn, twin) == "todo"


@pytest.mark.usefixtures("not_stale")
async def test_a_job_ahead_whose_twin_waits_ends_with_the_worker(queue_app: Afresh, conn: Connection, gate: Gate):
    """A worker that stops leaves no job running: where a twin waits, the twin goes on alone."""
    async with working(queue_app, concurrency=1, queues=["default"], shutdown_graceful_timeout=0.05) as worker:
        ids = await quick_worker_with_jobs_ahead(queue_app, gate, worker, 3, lock="same")
        await add(conn, queueing_lock="same-1", queue="elsewhere")
    assert [await status(conn, each) for each in ids] == ["todo", "cancelled", "todo"]
    assert [row["outcome"] for row in await attempts(conn, ids[1])] == ["coalesced"]


@pytest.mark.usefixtures("not_stale")
async def test_what_cannot_be_given_back_now_is_kept(
    queue_app: Afresh, conn: Connection, database_url: str, gate: Gate
):
    """Jobs claimed ahead are not forgotten when the database cannot take them back: they run here."""
    async with working(queue_app, concurrency=1) as worker:
        ids = await quick_worker_with_jobs_ahead(queue_app, gate, worker, 3)
        async with await Connection.connect(database_url) as other:
            await other.execute("SELECT FROM procrastinate_jobs WHERE id = %s FOR UPDATE", (ids[1],))
            releasing = asyncio.create_task(worker.release_ahead())
            await eventually(lambda: _kill_whoever_waits(conn))
            await releasing
        gate.open.set()
        await eventually(lambda: all_succeeded(conn))


async def _kill_whoever_waits(conn: Connection) -> bool:
    query = """
        SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE wait_event_type = 'Lock' AND datname = current_database()
    """
    return bool(await rows(conn, query))


@pytest.mark.usefixtures("not_stale")
async def test_a_job_ahead_can_be_aborted(queue_app: Afresh, conn: Connection, gate: Gate):
    """A job claimed ahead that is asked to abort ends as aborted without having begun."""
    async with working(queue_app, concurrency=1) as worker:
        ids = await quick_worker_with_jobs_ahead(queue_app, gate, worker, 3)
        await queue_app.job_manager.cancel_job_by_id_async(ids[1], abort=True)
        await eventually(lambda: worker._job_ids_to_abort)
        gate.open.set()
        await eventually(lambda: is_(conn, ids[1], "aborted"))
        await eventually(lambda: is_(conn, ids[2], "succeeded"))
    assert [row["outcome"] for row in await attempts(conn, ids[1])] == ["aborted"]
