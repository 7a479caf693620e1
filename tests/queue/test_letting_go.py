"""How a worker lets go of jobs, when it is asked to or must, and what it survives."""

import asyncio
import contextlib
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

import psycopg
import pytest
from procrastinate import JobContext
from procrastinate.exceptions import JobAborted

from app.config import WorkerSettings
from app.queue import control
from app.queue.app import Afresh
from app.queue.claim import Claims
from app.queue.rescue import rescue_stalled
from app.queue.task import preset, task
from app.telemetry import Event, JobReleased

from ..eventually import eventually
from .conftest import OpenApp
from .dependencies import Service, calling, open_to_probes
from .jobs import add, attempts, job, register, status, value
from .workers import NO_POLL, Gate, all_succeeded, as_task, idle, is_, nothing, work_off, working

pytestmark = pytest.mark.anyio

Connection = psycopg.AsyncConnection

Cancel = Callable[[Afresh, Connection, int], Awaitable[None]]


@pytest.mark.parametrize("retried", [True, False])
async def test_an_aborted_job_ends_as_aborted(queue_app: Afresh, conn: Connection, *, retried: bool):
    """A running async job that is asked to abort is cancelled and ends as aborted, whatever its strategy would say."""
    gate = Gate()
    gated = queue_app.task(name="gated", retry=retried)(as_task(gate))
    job_id = await gated.defer_async()
    async with working(queue_app, **NO_POLL):
        await eventually(lambda: gate.running)
        await queue_app.job_manager.cancel_job_by_id_async(job_id, abort=True)
        await eventually(lambda: is_(conn, job_id, "aborted"))
    row = await job(conn, job_id)
    assert (row["abort_requested"], row["attempts"]) == (False, 1)
    assert [each["outcome"] for each in await attempts(conn, job_id)] == ["aborted"]


async def test_a_sync_job_is_told_to_abort(queue_app: Afresh, conn: Connection):
    """A sync job learns from its context that it should abort, and decides itself."""
    running = threading.Event()

    @queue_app.task(name="asks", pass_context=True)
    def asks(context: Any) -> str:
        running.set()
        deadline = time.monotonic() + 10
        while not context.should_abort() and time.monotonic() < deadline:
            threading.Event().wait(0.01)
        return "told" if context.should_abort() else "never told"

    job_id = await asks.defer_async()
    async with working(queue_app):
        await eventually(running.is_set)
        await queue_app.job_manager.cancel_job_by_id_async(job_id, abort=True)
        await eventually(lambda: is_(conn, job_id, "succeeded"))
    assert await value(conn, "SELECT result FROM afresh.result") == "told"


async def test_a_job_is_settled_when_it_is_aborted_before_its_first_step(queue_app: Afresh, conn: Connection):
    """A job that is asked to abort in the instant of its start is not left running for ever."""
    queue_app.task(name="t")(nothing)
    async with working(queue_app) as worker:
        start = worker._start

        def start_and_abort(claimed: Any) -> None:
            start(claimed)
            worker._handle_abort_jobs_requested([claimed.job_id])

        worker._start = start_and_abort  # type: ignore[method-assign]  # The instant cannot be had otherwise.
        (job_id,) = await add(conn)
        await eventually(lambda: is_(conn, job_id, "aborted"))


async def _by_manager(app: Afresh, conn: Connection, job_id: int) -> None:
    del conn
    assert await app.job_manager.cancel_job_by_id_async(job_id)


async def _by_thread(app: Afresh, conn: Connection, job_id: int) -> None:
    del conn
    assert await asyncio.to_thread(app.job_manager.cancel_job_by_id, job_id)


async def _deleted(app: Afresh, conn: Connection, job_id: int) -> None:
    del conn
    assert await app.job_manager.cancel_job_by_id_async(job_id, delete_job=True)


async def _by_operator(app: Afresh, conn: Connection, job_id: int) -> None:
    del app
    await control.cancel(conn, job_id, actor="me")


@pytest.mark.parametrize("cancel", [_by_manager, _by_thread, _deleted, _by_operator])
async def test_a_cancelled_job_lets_go_of_its_lock(queue_app: Afresh, conn: Connection, cancel: Cancel):
    """When a job that waits for its time is cancelled, an idle worker runs the next one of its lock at once."""
    queue_app.task(name="t")(nothing)
    (first,) = await add(conn, lock="one", priority=1, due_in=3600)
    (after,) = await add(conn, lock="one")
    async with working(queue_app, **NO_POLL) as worker:
        await idle(worker)
        assert await status(conn, after) == "todo"
        await cancel(queue_app, conn, first)
        await eventually(lambda: is_(conn, after, "succeeded"))


async def test_shutdown_puts_unfinished_jobs_back(queue_app: Afresh, conn: Connection, events: list[Event]):
    """Jobs that do not end within the grace time go back at no cost, and may run at once elsewhere."""
    gate = Gate()
    ids = await queue_app.task(name="gated")(as_task(gate)).batch_defer_async(*[{}] * 3)
    async with working(queue_app, concurrency=3, shutdown_graceful_timeout=0.05):
        await eventually(lambda: gate.running == 3)
    for job_id in ids:
        row = await job(conn, job_id)
        assert (row["status"], row["attempts"], row["worker_id"]) == ("todo", 0, None)
        assert [each["outcome"] for each in await attempts(conn, job_id)] == ["released"]
    assert sum(isinstance(event, JobReleased) for event in events) == 3
    gate.open.set()
    await work_off(queue_app)
    assert await all_succeeded(conn)


async def test_a_claim_that_is_overtaken_by_the_stop_starts_nothing(queue_app: Afresh, conn: Connection):
    """Jobs that a worker is given after it was told to stop go back at once, however much room it has."""
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    started: list[int] = []

    @queue_app.task(name="t")
    async def begin() -> None:
        started.append(1)

    job_id = await begin.defer_async()
    await conn.execute("BEGIN")
    await conn.execute("LOCK TABLE afresh.job_limit")  # A claim looks there first.
    async with queue_app.connection() as other, working(queue_app) as worker:
        await eventually(lambda: value(other, waiting))
        worker.stop()
        await conn.execute("COMMIT")
    assert (await status(conn, job_id), started) == ("todo", [])
    assert await value(conn, "SELECT count(*) FROM procrastinate_events WHERE type = 'started'") == 1


async def test_a_draining_worker_still_hears_of_aborts(queue_app: Afresh, conn: Connection):
    """What is paused while a worker drains does not keep it from ending at once what is asked to end."""
    gate = Gate()
    job_id = await queue_app.task(name="gated")(as_task(gate)).defer_async()
    async with working(queue_app, **NO_POLL) as worker:
        await eventually(lambda: gate.running)
        worker.stop()
        await eventually(lambda: worker._draining)
        await conn.execute("SELECT pg_notify('afresh_wake', '{\"type\": \"held\"}')")
        await queue_app.job_manager.cancel_job_by_id_async(job_id, abort=True)
        await eventually(lambda: is_(conn, job_id, "aborted"))


async def test_shutdown_without_grace_leaves_nothing_behind(queue_app: Afresh, conn: Connection):
    """Also with no grace at all, every job is either done or back in its queue, and the worker has signed off."""
    gate = Gate()
    await queue_app.task(name="gated")(as_task(gate)).batch_defer_async(*[{}] * 20)
    async with working(queue_app, concurrency=10, shutdown_graceful_timeout=0):
        pass
    assert await value(conn, "SELECT count(*) FROM procrastinate_jobs WHERE status = 'todo'") == 20
    assert await value(conn, "SELECT count(*) FROM procrastinate_workers WHERE last_heartbeat > 'epoch'") == 0


async def test_shutdown_does_not_wait_for_threads(queue_app: Afresh, conn: Connection):
    """A sync task that does not end keeps no stopping worker: its job goes back after the grace time."""
    running, gate = threading.Event(), threading.Event()

    @queue_app.task(name="stuck")
    def stuck() -> None:
        running.set()
        gate.wait(20)

    job_id = await stuck.defer_async()
    async with working(queue_app, shutdown_graceful_timeout=0.05):
        await eventually(running.is_set)
    assert await status(conn, job_id) == "todo"
    gate.set()


async def test_shutdown_does_not_wait_for_whoever_is_deaf(queue_app: Afresh, conn: Connection, events: list[Event]):
    """A task that goes on when it is cancelled keeps no stopping worker: its job goes back, and that is told as its."""
    running, over = asyncio.Event(), asyncio.Event()

    @task(name="deaf", task_type="email", retry=preset("standard"))
    async def deaf() -> None:
        running.set()
        while not over.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await over.wait()

    job_id = await deaf.defer_async()
    async with working(queue_app, shutdown_graceful_timeout=0.05):
        await eventually(running.is_set)
    over.set()
    assert await status(conn, job_id) == "todo"
    (told,) = [event.attempt for event in events if isinstance(event, JobReleased)]
    assert (told.operation_type, told.attempt, told.max_attempts) == ("email", 1, 4)


async def test_a_thread_that_notices_the_shutdown_ends_before_its_job_goes_back(queue_app: Afresh, conn: Connection):
    """A sync task that asks whether it should abort is given the time to end, so that no two threads run its job."""
    running, ended = threading.Event(), threading.Event()

    @queue_app.task(name="asks", pass_context=True)
    def asks(context: JobContext) -> None:
        running.set()
        while not context.should_abort():
            ended.wait(0.01)
        ended.set()
        raise JobAborted

    job_id = await asks.defer_async()
    async with working(queue_app, shutdown_graceful_timeout=0.05):
        await eventually(running.is_set)
    assert ended.is_set()
    assert (await status(conn, job_id), (await job(conn, job_id))["attempts"]) == ("todo", 0)


async def test_the_heart_beats_while_draining(queue_app: Afresh, conn: Connection):
    """A worker that waits for its last jobs is not taken for lost."""
    gate = Gate()
    job_id = await queue_app.task(name="gated")(as_task(gate)).defer_async()
    async with working(queue_app, update_heartbeat_interval=0.05) as worker:
        await eventually(lambda: gate.running)
        worker.stop()
        beat = "SELECT last_heartbeat FROM procrastinate_workers"
        before = await value(conn, beat)
        await eventually(lambda: _differs(conn, beat, before))
        gate.open.set()
    assert await status(conn, job_id) == "succeeded"


async def _differs(conn: Connection, query: str, before: Any) -> bool:
    return bool(await value(conn, query) != before)


async def test_a_pruned_worker_registers_again(queue_app: Afresh, conn: Connection):
    """A worker whose registration was deleted goes on under a new one with its next claim."""
    queue_app.task(name="t")(nothing)
    async with working(queue_app) as worker:
        former = worker.worker_id
        await conn.execute("DELETE FROM procrastinate_workers")
        (job_id,) = await add(conn)
        await eventually(lambda: is_(conn, job_id, "succeeded"))
        assert worker.worker_id != former
    assert await value(conn, "SELECT count(*) FROM procrastinate_workers WHERE last_heartbeat > 'epoch'") == 0


async def test_it_registers_once_for_one_loss(queue_app: Afresh, conn: Connection):
    """A heartbeat that hears late of a registration that is lost leaves the one that came after it alone."""
    async with working(queue_app) as worker:
        former = worker.worker_id
        await conn.execute("DELETE FROM procrastinate_workers")
        await worker.register_again(former)
        later = worker.worker_id
        await worker.register_again(former)
        assert worker.worker_id == later
        assert await value(conn, "SELECT array_agg(id) FROM procrastinate_workers") == [later]


@pytest.mark.parametrize(
    ("spoil", "mend"),
    [
        ("DELETE FROM procrastinate_workers", "SELECT"),
        ("ALTER TABLE afresh.breaker_probe RENAME TO away", "ALTER TABLE afresh.away RENAME TO breaker_probe"),
    ],
    ids=["claim", "note"],
)
async def test_a_claim_that_fails_gives_its_permit_back(open_app: OpenApp, conn: Connection, spoil: str, mend: str):
    """Where a claim, or the note of who runs as a probe, is refused, the breaker does not wait for a lease."""
    call = calling(Service())
    app = await open_app()
    await open_to_probes(conn)
    await call.defer_async()
    claims = Claims(app, await register(conn), None)
    await app.dependencies.refresh()
    await conn.execute(spoil)
    with pytest.raises(psycopg.Error):
        await claims.take(10)
    assert len(await value(conn, "SELECT permits FROM afresh.breaker")) == 1
    await conn.execute(mend)
    await app.dependencies.flush()
    assert await value(conn, "SELECT permits FROM afresh.breaker") == []


async def test_tasks_cannot_silence_the_heartbeat(open_app: OpenApp, conn: Connection):
    """Tasks that keep as many connections as there are do not make their worker look lost."""
    app = await open_app(worker=WorkerSettings(stalled_after="1"))
    gate, held = Gate(), []

    @app.task(name="keeps")
    async def keeps() -> None:
        async with app.connection() as kept:
            held.append(kept)
            await gate()

    await keeps.batch_defer_async(*[{}] * 12)
    async with working(app, concurrency=12):
        await eventually(lambda: len(held) == 10)
        since = time.monotonic() + 1.5
        await eventually(lambda: time.monotonic() > since)
        assert (await rescue_stalled(app)).rescued == ()
        gate.open.set()
        await eventually(lambda: all_succeeded(conn))
    assert len(held) == 12


async def test_a_lost_database_is_waited_for(queue_app: Afresh, conn: Connection):
    """A worker whose connections are all killed while it works ends every job all the same, once."""
    runs: list[int] = []

    @queue_app.task(name="counts")
    async def counts(n: int) -> None:
        runs.append(n)

    kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
    given: list[Any] = [{"n": n} for n in range(600)]
    await counts.batch_defer_async(*given)
    async with working(queue_app, concurrency=5):
        await eventually(lambda: len(runs) > 100)
        await conn.execute(f"{kill} AND datname = current_database() AND backend_type = 'client backend'")
        await eventually(lambda: all_succeeded(conn))
    assert sorted(runs) == list(range(600))
