"""A worker in the test's own process: how many jobs it runs at once, and what wakes it up."""

import itertools
import threading
from datetime import timedelta

import psycopg
import pytest
from procrastinate.retry import RetryStrategy

from app.config import WorkerSettings
from app.queue.app import Afresh
from app.store import holds
from app.telemetry import Event, JobsClaimed, WorkerStarted, WorkerStopped

from ..eventually import eventually
from .conftest import OpenApp
from .jobs import add, attempts, job, status, value
from .workers import NO_POLL, Gate, all_succeeded, as_task, idle, is_, listener, nothing, work_off, working

pytestmark = pytest.mark.anyio

Connection = psycopg.AsyncConnection


@pytest.mark.parametrize("concurrency", [1, 3])
async def test_never_more_than_the_concurrency(queue_app: Afresh, conn: Connection, concurrency: int):
    """As many jobs run at once as the concurrency says, never more."""
    gate = Gate()
    gated = queue_app.task(name="gated")(as_task(gate))
    await gated.batch_defer_async(*[{}] * 10)
    async with working(queue_app, concurrency=concurrency):
        await eventually(lambda: gate.running == concurrency)
        gate.open.set()
        await eventually(lambda: all_succeeded(conn))
    assert gate.most == concurrency


async def test_as_many_threads_as_jobs(queue_app: Afresh, conn: Connection):
    """Sync tasks run side by side up to the concurrency, however few cores there are."""
    together = threading.Barrier(20)

    @queue_app.task(name="meets")
    def meets() -> None:
        together.wait(10)

    await meets.batch_defer_async(*[{}] * 20)
    await work_off(queue_app, concurrency=20)
    assert await all_succeeded(conn)


async def test_a_worker_without_waiting_does_all_there_is(queue_app: Afresh, conn: Connection):
    """With wait=False a worker ends when nothing can run any more, and not before what its own jobs let run."""

    @queue_app.task(name="one")
    async def one() -> None:
        pass

    await one.configure(lock="same").batch_defer_async(*[{}] * 30)
    await one.batch_defer_async(*[{}] * 300)
    await work_off(queue_app)
    assert await all_succeeded(conn)


async def test_a_retry_without_delay_runs_before_the_worker_ends(queue_app: Afresh, conn: Connection):
    """With wait=False a retry that is due at once is still run."""
    calls = itertools.count(1)

    @queue_app.task(name="third", retry=RetryStrategy(max_attempts=5))
    async def third() -> None:
        assert next(calls) == 3

    job_id = await third.defer_async()
    await work_off(queue_app)
    assert (await status(conn, job_id), (await job(conn, job_id))["attempts"]) == ("succeeded", 3)


async def test_run_worker_async_runs_a_worker(queue_app: Afresh, conn: Connection):
    """Procrastinate's own way to run a worker runs ours, with the app's defaults."""

    @queue_app.task(name="one")
    async def one() -> None:
        pass

    job_id = await one.defer_async()
    await queue_app.run_worker_async(wait=False, install_signal_handlers=False)
    assert await status(conn, job_id) == "succeeded"


async def test_a_worker_says_when_it_starts_and_stops(queue_app: Afresh, events: list[Event]):
    """Start and stop are announced, with what the worker takes."""
    async with working(queue_app, name="w", queues=["a"], concurrency=2):
        pass
    assert events == [WorkerStarted("w", ("a",), 2), WorkerStopped("w")]


async def test_a_claim_says_how_many_it_took(queue_app: Afresh, announced: list[Event]):
    """Claims are told by their size, each once, and only those that found something."""
    noop = queue_app.task(name="noop")(nothing)
    await noop.batch_defer_async(*[{}] * 30)
    await work_off(queue_app, concurrency=5)
    sizes = [event.count for event in announced if isinstance(event, JobsClaimed)]
    assert sum(sizes) == 30
    assert all(sizes)


async def test_what_runs_is_shown(queue_app: Afresh, conn: Connection):
    """The app shows what its workers run at this moment."""
    gate = Gate()
    gated = queue_app.task(name="gated")(as_task(gate))
    await gated.batch_defer_async(*[{}] * 3)
    async with working(queue_app, concurrency=2) as worker:
        await eventually(lambda: gate.running == 2)
        assert [each.job.task_name for each in queue_app.running[worker].values()] == ["gated"] * 2
        gate.open.set()
        await eventually(lambda: all_succeeded(conn))
        await eventually(lambda: not queue_app.running[worker])


async def test_queues_of_the_settings(open_app: OpenApp, conn: Connection):
    """WORKER_QUEUES and WORKER_CONCURRENCY are the defaults of a worker."""
    app = await open_app(worker=WorkerSettings(queues="mine", concurrency=7))
    mine, other = await add(conn, queue="mine"), await add(conn, queue="other")
    worker = app._worker(wait=False)
    await work_off(app)
    assert worker.concurrency == 7
    assert [len(await attempts(conn, each)) for each in (*mine, *other)] == [1, 0]


async def test_an_inserted_job_wakes(queue_app: Afresh, conn: Connection):
    """A job inserted by anybody is started at once."""
    queue_app.task(name="t")(nothing)
    async with working(queue_app, **NO_POLL) as worker:
        await idle(worker)
        (job_id,) = await add(conn)
        await eventually(lambda: is_(conn, job_id, "succeeded"))


async def test_a_job_that_falls_due_wakes(queue_app: Afresh, conn: Connection):
    """A job is started when its time has come, not at the next poll."""
    queue_app.task(name="t")(nothing)
    async with working(queue_app, **NO_POLL) as worker:
        (job_id,) = await add(conn, due_in=3)
        await idle(worker)
        assert await status(conn, job_id) == "todo"
        await eventually(lambda: is_(conn, job_id, "succeeded"))
    assert await _lateness(conn, job_id) >= timedelta(0)


async def test_a_short_retry_wakes(queue_app: Afresh, conn: Connection):
    """A retry after a second is run when that second is over, not at the next poll."""
    calls = itertools.count(1)

    @queue_app.task(name="second", retry=RetryStrategy(max_attempts=1, wait=1))
    async def second() -> None:
        assert next(calls) == 2

    async with working(queue_app, **NO_POLL):
        job_id = await second.defer_async()
        await eventually(lambda: is_(conn, job_id, "succeeded"))
    assert await _lateness(conn, job_id) >= timedelta(0)


async def _lateness(conn: Connection, job_id: int) -> timedelta:
    """How long after the time it was scheduled for the job was started last."""
    query = """
        SELECT max(e.at) - j.scheduled_at FROM procrastinate_jobs j JOIN procrastinate_events e ON e.job_id = j.id
        WHERE j.id = %s AND e.type = 'started' GROUP BY j.id
    """
    found: timedelta = await value(conn, query, job_id)
    return found


async def test_a_released_lock_wakes(queue_app: Afresh, open_app: OpenApp, conn: Connection):
    """When another worker's job lets go of a lock, an idle worker runs the next job of that lock at once."""
    gate = Gate()
    first = await queue_app.task(name="gated", queue="a")(as_task(gate)).configure(lock="same").defer_async()
    other = await open_app()
    async with (
        working(queue_app, queues=["a"]),
        working(other, queues=["b"], **NO_POLL) as idler,
    ):
        await eventually(lambda: gate.running)
        second = await other.task(name="free", queue="b")(nothing).configure(lock="same").defer_async()
        await idle(idler)
        gate.open.set()
        await eventually(lambda: is_(conn, second, "succeeded"))
    assert await status(conn, first) == "succeeded"


async def test_a_resumed_queue_wakes(queue_app: Afresh, conn: Connection):
    """When a queue is resumed its jobs start at once."""
    queue_app.task(name="t")(nothing)
    await holds.hold(conn, "queue", "q", reason="why", actor="me")
    (job_id,) = await add(conn)
    async with working(queue_app, **NO_POLL) as worker:
        await idle(worker)
        assert await status(conn, job_id) == "todo"
        await holds.release(conn, "queue", "q", reason="why", actor="me")
        await eventually(lambda: is_(conn, job_id, "succeeded"))


async def test_a_lost_listener_comes_back(queue_app: Afresh, conn: Connection):
    """A worker whose listening connection was killed hears of jobs again."""
    queue_app.task(name="t")(nothing)
    async with working(queue_app, **NO_POLL) as worker:
        former = await listener(conn)
        await conn.execute("SELECT pg_terminate_backend(%s)", (former,))
        await eventually(lambda: _listens_again(conn, former))
        await idle(worker)
        (job_id,) = await add(conn)
        await eventually(lambda: is_(conn, job_id, "succeeded"))


async def _listens_again(conn: Connection, former: int | None) -> bool:
    return await listener(conn) not in {None, former}
