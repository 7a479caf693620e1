"""On Procrastinate's InMemoryConnector, which users' own tests bring, everything goes by Procrastinate's queries."""

import asyncio
import itertools
from collections.abc import Iterator
from datetime import timedelta

import pytest
from procrastinate import testing
from procrastinate.exceptions import AlreadyEnqueued

from app.queue.app import Afresh
from app.queue.job_manager import AfreshJobManager
from app.queue.task import ExponentialBackoff
from app.telemetry import AttemptFailed, AttemptSucceeded, Event, JobBuried

from .workers import nothing, working

pytestmark = pytest.mark.anyio


@pytest.fixture
def memory(queue_app: Afresh) -> Iterator[testing.InMemoryConnector]:
    """The app on an in-memory connector, as Procrastinate's documents tell users to test."""
    connector = testing.InMemoryConnector()
    with queue_app.replace_connector(connector):
        yield connector


async def run(app: Afresh) -> None:
    """Run a worker the documented way."""
    await asyncio.wait_for(app.run_worker_async(wait=False, install_signal_handlers=False, listen_notify=False), 10)


async def test_a_job_succeeds(queue_app: Afresh, memory: testing.InMemoryConnector, events: list[Event]):
    """A deferred job is run and marked as succeeded."""
    job_id = await queue_app.task(name="t")(nothing).defer_async()
    await run(queue_app)
    assert memory.jobs[job_id]["status"] == "succeeded"
    assert any(isinstance(event, AttemptSucceeded) for event in events)


async def test_many_jobs_succeed(queue_app: Afresh, memory: testing.InMemoryConnector):
    """Jobs deferred together are all run."""
    ids = await queue_app.task(name="t")(nothing).batch_defer_async(*[{}] * 25)
    await run(queue_app)
    assert {memory.jobs[each]["status"] for each in ids} == {"succeeded"}


async def test_a_permanent_failure_fails(queue_app: Afresh, memory: testing.InMemoryConnector, events: list[Event]):
    """A failure that no retry helps fails the job at once."""

    @queue_app.task(name="fails")
    async def fails() -> None:
        raise PermissionError

    job_id = await fails.defer_async()
    await run(queue_app)
    assert (memory.jobs[job_id]["status"], memory.jobs[job_id]["attempts"]) == ("failed", 1)
    assert any(isinstance(event, JobBuried) for event in events)


async def test_a_retry_is_planned(queue_app: Afresh, memory: testing.InMemoryConnector, events: list[Event]):
    """A failure that passes is put back with its time."""

    @queue_app.task(name="fails", retry=ExponentialBackoff(max_retries=3, initial_delay=timedelta(minutes=1)))
    async def fails() -> None:
        raise ConnectionRefusedError

    job_id = await fails.defer_async()
    await run(queue_app)
    assert (memory.jobs[job_id]["status"], memory.jobs[job_id]["attempts"]) == ("todo", 1)
    assert memory.jobs[job_id]["scheduled_at"] is not None
    assert any(isinstance(event, AttemptFailed) for event in events)


async def test_a_retry_without_delay_runs(queue_app: Afresh, memory: testing.InMemoryConnector):
    """Procrastinate's own strategies are honoured there, too."""
    calls = itertools.count(1)

    @queue_app.task(name="third", retry=5)
    async def third() -> None:
        assert next(calls) == 3

    job_id = await third.defer_async()
    await run(queue_app)
    assert (memory.jobs[job_id]["status"], memory.jobs[job_id]["attempts"]) == ("succeeded", 3)


async def test_locks_and_queueing_locks_hold(queue_app: Afresh, memory: testing.InMemoryConnector):
    """Locks are Procrastinate's own."""
    one = queue_app.task(name="t")(nothing)
    first = await one.configure(queueing_lock="same", lock="l").defer_async()
    with pytest.raises(AlreadyEnqueued):
        await one.configure(queueing_lock="same").defer_async()
    second = await one.configure(lock="l").defer_async()
    await run(queue_app)
    assert [memory.jobs[each]["status"] for each in (first, second)] == ["succeeded", "succeeded"]


async def test_a_waiting_worker_stops(queue_app: Afresh, memory: testing.InMemoryConnector):
    """A worker that waits for jobs starts, works and stops."""
    async with working(queue_app, listen_notify=False):
        pass
    assert memory.workers == {}


async def test_the_app_is_itself_again(queue_app: Afresh, memory: testing.InMemoryConnector):
    """Deferring by name goes to the connector of the moment."""
    job_id = await queue_app.configure_task("unknown").defer_async()
    assert memory.jobs[job_id]["task_name"] == "unknown"
    assert isinstance(queue_app.job_manager, AfreshJobManager)
    assert not queue_app.job_manager.ours
