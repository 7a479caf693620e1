"""Time limits of attempts: async tasks are cancelled, threads are waited for."""

import asyncio
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from app.config import RetrySettings
from app.queue.app import Afresh
from app.queue.call import AttemptTimedOut
from app.queue.decide import _not_beside_its_rest
from app.queue.task import ExponentialBackoff, task
from app.retry.policy import Snooze, SnoozeReason

from ..eventually import eventually
from .conftest import OpenApp
from .jobs import attempts, rows, status
from .workers import work_off, working

pytestmark = pytest.mark.anyio

Connection = psycopg.AsyncConnection
NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)


async def test_an_async_task_over_its_limit_is_cancelled(queue_app: Afresh, conn: Connection):
    """An async attempt over its time limit is cancelled, and classified as a time-out."""
    cancelled: list[bool] = []

    @task(name="slow", timeout=timedelta(milliseconds=30))
    async def slow() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    job_id = await slow.defer_async()
    await work_off(queue_app)
    (row,) = await attempts(conn, job_id)
    assert (row["failure_type"], cancelled) == ("TRANSIENT_TIMEOUT", [True])
    assert row["message"] == "the attempt was still running after 0.03 s"


@pytest.mark.parametrize("made_of_it", [PermissionError(13, "no"), ValueError("half a file")])
async def test_what_a_task_makes_of_its_cancellation(queue_app: Afresh, conn: Connection, made_of_it: Exception):
    """A task that turns its cancellation at the limit into another error has run out of time all the same."""

    @task(name="slow", timeout=timedelta(milliseconds=30))
    async def slow() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError as cancelled:
            raise made_of_it from cancelled

    job_id = await slow.defer_async()
    await work_off(queue_app)
    (row,) = await attempts(conn, job_id)
    assert (row["failure_type"], row["decision"]) == ("TRANSIENT_TIMEOUT", "retry")
    assert type(made_of_it).__name__ in row["traceback"]


async def test_limits_by_name(open_app: OpenApp, conn: Connection):
    """TASK_TIMEOUTS rules over what a task says, by name or slug; JOB_TIMEOUT is for those that say nothing."""
    app = await open_app(retry=RetrySettings(job_timeout="0.04", task_timeouts="by-slug=0.02,by.name=0.01"))

    @task(name="a", slug="by-slug", timeout=timedelta(hours=1))
    async def by_slug() -> None:
        await asyncio.Event().wait()

    @task(name="by.name", slug="n", timeout=timedelta(hours=1))
    async def by_name() -> None:
        await asyncio.Event().wait()

    @app.task(name="none")
    async def none() -> None:
        await asyncio.Event().wait()

    ids = [await each.defer_async() for each in (by_slug, by_name, none)]
    await work_off(app)
    said = [(await attempts(conn, each))[0]["message"].rpartition("after ")[2] for each in ids]
    assert said == ["0.02 s", "0.01 s", "0.04 s"]


async def test_a_time_out_of_the_tasks_own_is_its_own(queue_app: Afresh, conn: Connection):
    """A TimeoutError that the task raises by itself is not taken for the attempt's limit."""

    @task(name="own", timeout=timedelta(hours=1))
    async def own() -> None:
        async with asyncio.timeout(0.01):
            await asyncio.Event().wait()

    job_id = await own.defer_async()
    await work_off(queue_app)
    assert (await attempts(conn, job_id))[0]["exception_type"].endswith("TimeoutError")
    assert "still running" not in ((await attempts(conn, job_id))[0]["message"] or "")


class Stuck:
    """A sync task that runs until it is let go."""

    def __init__(self) -> None:
        self.gate, self.running, self.most = threading.Event(), 0, 0

    def __call__(self) -> str:
        self.running += 1
        self.most = max(self.most, self.running)
        self.gate.wait(20)
        self.running -= 1
        return "late"


async def test_a_sync_task_over_its_limit_is_settled_and_keeps_its_slot(queue_app: Afresh, conn: Connection):
    """A thread cannot be killed: the attempt is settled at its limit, its slot stays taken until the thread ends, and
    the late result is discarded.
    """  # noqa: D205 - one sentence
    stuck, quick = Stuck(), []
    stuck_task = task(name="stuck", slug="stuck", timeout=timedelta(milliseconds=30), retry=0)(stuck)

    @task(name="quick")
    async def quick_task() -> None:
        quick.append(1)

    job_id = await stuck_task.defer_async()
    async with working(queue_app, concurrency=1) as worker:
        await eventually(lambda: attempts(conn, job_id))
        waiting = await quick_task.defer_async()
        assert len(worker._running_jobs) == 1
        assert await status(conn, waiting) == "todo"
        stuck.gate.set()
        await eventually(lambda: quick)
    assert await status(conn, job_id) == "failed"
    assert await rows(conn, "SELECT * FROM afresh.result") == []


async def test_a_retry_never_runs_beside_its_thread(queue_app: Afresh, conn: Connection):
    """The retry of a sync task that timed out is planned for 60 s later, and comes as soon as the thread has ended."""
    stuck = Stuck()
    strategy = ExponentialBackoff(max_retries=1, initial_delay=timedelta(0))
    stuck_task = task(name="stuck", slug="stuck", timeout=timedelta(seconds=1), retry=strategy)(stuck)
    job_id = await stuck_task.defer_async()
    async with working(queue_app, concurrency=3):
        (row,) = await eventually(lambda: attempts(conn, job_id))
        assert 59 < row["delay"].total_seconds() <= 60
        stuck.gate.set()
        await eventually(lambda: _is(conn, job_id, "succeeded"))
    assert stuck.most == 1
    (row,) = await attempts(conn, job_id)
    assert row["delay"].total_seconds() < 30


async def test_a_thread_that_ends_just_after_its_limit_delays_nothing(queue_app: Afresh, conn: Connection):
    """The retry is brought forward also when the thread ends before the attempt is written."""
    strategy = ExponentialBackoff(max_retries=1, initial_delay=timedelta(0))
    gates = [threading.Event() for _ in range(2)]
    gates[1].set()
    calls = iter(gates)
    stuck_task = task(name="stuck", slug="stuck", timeout=timedelta(seconds=1), retry=strategy)(
        lambda: next(calls).wait(20)
    )
    async with working(queue_app) as worker:
        settle = worker._executor._settle

        def settle_and_let_go(settlement: Any) -> None:
            settle(settlement)
            gates[0].set()

        worker._executor._settle = settle_and_let_go
        job_id = await stuck_task.defer_async()
        await eventually(lambda: _is(conn, job_id, "succeeded"))


async def test_a_snooze_waits_for_its_thread_too():
    """A timed-out job that waits without cost, as for a breaker, does not run beside its thread either."""
    timed_out = AttemptTimedOut(timedelta(seconds=1), asyncio.get_running_loop().create_future())
    soon = Snooze(NOW + timedelta(seconds=5), timedelta(seconds=5), SnoozeReason.DEPENDENCY_OPEN, ())
    later = _not_beside_its_rest(soon, timed_out, NOW)
    assert later.at - NOW == later.delay == timedelta(seconds=60)
    assert [step.text for step in later.explanation] == [
        "its thread still runs and cannot be stopped → at most 60 s, or until it ends"
    ]


async def test_a_lock_waits_for_the_thread(queue_app: Afresh, conn: Connection):
    """Nothing else with its lock runs before the thread of a timed-out sync task has ended."""
    stuck, later = Stuck(), []
    stuck_task = task(name="stuck", slug="stuck", timeout=timedelta(milliseconds=30), retry=0)(stuck)

    @task(name="later")
    async def later_task() -> None:
        later.append(stuck.running)

    job_id = await stuck_task.configure(lock="one").defer_async()
    await later_task.configure(lock="one").defer_async()
    async with working(queue_app, concurrency=3):
        await eventually(lambda: stuck.running)
        limit = time.monotonic() + 0.1
        await eventually(lambda: time.monotonic() > limit)
        assert await status(conn, job_id) == "doing"
        stuck.gate.set()
        await eventually(lambda: later)
    assert later == [0]
    assert (await attempts(conn, job_id))[0]["failure_type"] == "TRANSIENT_TIMEOUT"


async def _is(conn: Connection, job_id: int, expected: str) -> bool:
    return await status(conn, job_id) == expected
