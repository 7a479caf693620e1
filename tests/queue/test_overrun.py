"""Attempts that refuse to end at their time limit."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from app.queue import overrun
from app.queue.app import Afresh
from app.queue.effects import effects
from app.queue.overrun import LOOKS, Overruns
from app.queue.task import ExponentialBackoff, task
from app.telemetry import Event, OwnershipLost

from ..eventually import eventually
from .jobs import attempts, rows, status
from .workers import is_, work_off, working

pytestmark = pytest.mark.anyio

Connection = psycopg.AsyncConnection

LIMIT = timedelta(milliseconds=30)
LOOK_SECONDS = 0.02


@pytest.fixture(autouse=True)
def short_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look often, so that tests are short."""
    monkeypatch.setattr(overrun, "LOOK_SECONDS", LOOK_SECONDS)


class Stubborn:
    """A task that swallows every request to end until it is let go; each later run ends at once."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.running = self.most = self.refused = 0

    async def run(self) -> str:
        self.running += 1
        self.most = max(self.most, self.running)
        while not self.gate.is_set():
            try:
                await self.gate.wait()
            except asyncio.CancelledError:
                self.refused += 1
        self.running -= 1
        return "late"

    @property
    def function(self) -> Callable[[], Coroutine[Any, Any, str]]:
        """As Procrastinate wants it."""

        async def stubborn() -> str:
            return await self.run()

        return stubborn


@pytest.fixture
async def stubborn(anyio_backend: str) -> AsyncIterator[Stubborn]:  # noqa: ARG001 - it makes the fixture async.
    """One that is let go in the end, whatever the test came to: nobody else can end it."""
    made = Stubborn()
    yield made
    made.gate.set()


async def has_passed(seconds: float) -> None:
    """Wait for what does not come."""
    until = time.monotonic() + seconds
    await eventually(lambda: time.monotonic() > until)


async def test_what_is_returned_after_the_limit(queue_app: Afresh, conn: Connection):
    """A task that swallows its cancellation at the limit and returns something has run out of time all the same."""

    @task(name="slow", timeout=LIMIT)
    async def slow() -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "half of it"
        return "all of it"

    job_id = await slow.defer_async()
    await work_off(queue_app)
    (row,) = await attempts(conn, job_id)
    assert (row["failure_type"], row["decision"]) == ("TRANSIENT_TIMEOUT", "retry")
    assert await rows(conn, "SELECT * FROM afresh.result") == []


async def test_it_is_settled_and_keeps_its_slot(queue_app: Afresh, conn: Connection, stubborn: Stubborn):
    """An attempt that goes on is settled as timed out and keeps its slot until it ends; its late result is nobody's."""
    quick = []
    stubborn_task = task(name="stubborn", timeout=LIMIT, retry=0)(stubborn.function)

    @task(name="quick")
    async def quick_task() -> None:
        quick.append(1)

    job_id = await stubborn_task.defer_async()
    async with working(queue_app, concurrency=1) as worker:
        (row,) = await eventually(lambda: attempts(conn, job_id))
        assert (row["failure_type"], row["decision"]) == ("TRANSIENT_TIMEOUT", "dead_letter")
        assert row["message"] == "the attempt was still running after 0.03 s"
        waiting = await quick_task.defer_async()
        assert len(worker._running_jobs) == 1
        assert await status(conn, waiting) == "todo"
        stubborn.gate.set()
        await eventually(lambda: quick)
    assert stubborn.refused == 1
    assert await status(conn, job_id) == "failed"
    assert await rows(conn, "SELECT * FROM afresh.result") == []
    assert len(await attempts(conn, job_id)) == 1


async def test_a_retry_never_runs_beside_it(queue_app: Afresh, conn: Connection, stubborn: Stubborn):
    """Its retry is planned for 60 s later, and comes as soon as it has ended."""
    strategy = ExponentialBackoff(max_retries=1, initial_delay=timedelta(0))
    job_id = await task(name="stubborn", timeout=LIMIT, retry=strategy)(stubborn.function).defer_async()
    async with working(queue_app, concurrency=3):
        (row,) = await eventually(lambda: attempts(conn, job_id))
        assert 59 < row["delay"].total_seconds() <= 60
        assert "it goes on although it was cancelled" in row["reason"]
        stubborn.gate.set()
        await eventually(lambda: is_(conn, job_id, "succeeded"))
    assert stubborn.most == 1
    assert len(await attempts(conn, job_id)) == 1


async def test_a_lock_waits_for_it(queue_app: Afresh, conn: Connection, stubborn: Stubborn):
    """A job with a lock counts as running until its attempt ends, and has run out of time then."""
    stubborn_task = task(name="stubborn", timeout=LIMIT, retry=0)(stubborn.function)
    job_id = await stubborn_task.configure(lock="one").defer_async()
    async with working(queue_app):
        await eventually(lambda: stubborn.refused)
        await has_passed(3 * LOOKS * LOOK_SECONDS)
        assert await status(conn, job_id) == "doing"
        stubborn.gate.set()
        await eventually(lambda: is_(conn, job_id, "failed"))
    assert (await attempts(conn, job_id))[0]["failure_type"] == "TRANSIENT_TIMEOUT"


async def test_it_was_asked_to_abort(queue_app: Afresh, conn: Connection, stubborn: Stubborn):
    """Of an attempt that also refused to abort the job ends as aborted."""
    stubborn_task = task(name="stubborn", timeout=timedelta(seconds=2), retry=0)(stubborn.function)
    job_id = await stubborn_task.defer_async()
    async with working(queue_app):
        await eventually(lambda: stubborn.running)
        await queue_app.job_manager.cancel_job_by_id_async(job_id, abort=True)
        await eventually(lambda: stubborn.refused)
        assert await status(conn, job_id) == "doing"
        await eventually(lambda: is_(conn, job_id, "aborted"))
        assert stubborn.running == 1
        stubborn.gate.set()
    assert [row["outcome"] for row in await attempts(conn, job_id)] == ["aborted"]


async def test_it_has_ended_with_its_effects(
    queue_app: Afresh, conn: Connection, stubborn: Stubborn, events: list[Event]
):
    """An attempt whose job has succeeded with its effects may go on as long as it likes."""

    @task(name="lingers", timeout=timedelta(seconds=1))  # Time enough for its effects.
    async def lingers() -> None:
        async with effects() as work:
            work.result = "done"
        await stubborn.run()

    job_id = await lingers.defer_async()
    async with working(queue_app):
        await eventually(lambda: stubborn.refused)
        await has_passed(3 * LOOKS * LOOK_SECONDS)
        stubborn.gate.set()
    assert await status(conn, job_id) == "succeeded"
    assert await attempts(conn, job_id) == []
    assert await rows(conn, "SELECT result FROM afresh.result") == [{"result": "done"}]
    assert not any(isinstance(event, OwnershipLost) for event in events)


async def test_when_one_is_told():
    """An attempt is told once, after it was found beyond its limit so often; one that ends meanwhile never is."""
    overruns, stays, ends = Overruns(), asyncio.Task(asyncio.sleep(0)), asyncio.Task(asyncio.sleep(0))
    both, one = {stays: 10.0, ends: 10.0}, {stays: 10.0}
    assert [overruns.among(both, 100.0 + second) for second in range(11 + LOOKS - 1)] == [[]] * (11 + LOOKS - 1)
    assert overruns.among(one, 110.0 + LOOKS) == [stays]
    assert overruns.among(one, 111.0 + LOOKS) == []


async def test_a_loop_that_was_blocked():
    """After the loop was blocked for long an attempt has the same time to end as any other."""
    overruns, attempt = Overruns(), asyncio.Task(asyncio.sleep(0))
    overruns.among({attempt: 10.0}, 100.0)
    assert [overruns.among({attempt: 10.0}, 1_000.0 + second) for second in range(LOOKS - 1)] == [[]] * (LOOKS - 1)
    assert overruns.among({attempt: 10.0}, 1_000.0 + LOOKS) == [attempt]
