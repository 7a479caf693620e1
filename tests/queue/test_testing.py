"""What users' own tests lean on, in memory and in Postgres."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx
import pytest

from app.config import RetrySettings, default_settings
from app.queue.app import Afresh
from app.queue.task import ExponentialBackoff, declarations, task
from app.retry.failure import FailureType
from app.retry.policy import DeadLetter, DeathCause, Retry
from app.testing import Drained, assert_deferred, deferred, drain, failing, in_memory, run_inline

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("own_declarations")]

REFUSED = httpx.ConnectError("connection refused")


@pytest.fixture
async def queue(anyio_backend: str, own_declarations: None) -> AsyncIterator[Afresh]:  # noqa: ARG001 - they must exist
    """A queue in memory that knows only what the test declares."""
    async with in_memory() as queue:
        queue.import_paths = []
        yield queue


def doubling() -> Any:
    """A task that is asynchronous."""

    @task(name="t.double", queue="sums")
    async def double(number: int) -> tuple[int, int]:
        return number, 2 * number

    return double


def greeting(**options: Any) -> Any:
    """A task that is not."""

    @task(name="t.greet", **options)
    def greet(name: str) -> str:
        return f"Hello {name}"

    return greet


async def test_a_value_is_returned(queue: Afresh):
    """Run inline, a task returns what would be stored of it: JSON, in which a tuple is a list."""
    assert (await run_inline(queue, doubling(), {"number": 2})).value == [2, 4]


async def test_a_plain_function_runs_inline(queue: Afresh):
    """A task that is not asynchronous runs as well."""
    assert (await run_inline(queue, greeting(), {"name": "Ada"})).value == "Hello Ada"


async def test_a_failure_is_decided(queue: Afresh):
    """What an attempt raises is classified and decided, and the reason is told."""
    greet = greeting()
    with failing(greet, REFUSED):
        ran = await run_inline(queue, greet, {"name": "Ada"})
    assert ran.failure is not None
    assert ran.failure.type is FailureType.TRANSIENT_NETWORK
    assert isinstance(ran.decision, Retry)
    assert "1st retry" in (ran.reason or "")


async def test_the_last_attempt_is_buried(queue: Afresh):
    """An attempt past its policy's retries is a dead letter."""
    greet = greeting(retry=ExponentialBackoff(max_retries=2))
    with failing(greet, REFUSED):
        before = await run_inline(queue, greet, {"name": "Ada"}, attempt=2)
        last = await run_inline(queue, greet, {"name": "Ada"}, attempt=3)
    assert isinstance(before.decision, Retry)
    assert isinstance(last.decision, DeadLetter)
    assert last.decision.cause is DeathCause.RETRIES_SPENT


async def test_wrong_arguments_fail(queue: Afresh):
    """Arguments that a task does not take are the failure that they would be."""
    ran = await run_inline(queue, greeting(), {"nobody": 1})
    assert ran.failure is not None
    assert not ran.failure.retryable


async def test_a_time_limit_holds(queue: Afresh):
    """An attempt that runs too long has timed out."""

    @task(name="t.hang", timeout=timedelta(milliseconds=1))
    async def hang() -> None:
        await asyncio.Event().wait()

    ran = await run_inline(queue, hang)
    assert ran.failure is not None
    assert "still running" in ran.failure.message


async def test_inline_writes_no_job(queue: Afresh):
    """A run inline leaves nothing behind but what the task itself defers."""
    double = doubling()

    @task(name="t.parent")
    async def parent() -> None:
        await double.defer_async(number=1)

    await run_inline(queue, parent)
    assert await deferred(queue, parent) == []
    assert (await assert_deferred(queue, double, {"number": 1})).queue == "sums"


async def test_a_missing_job_is_told(queue: Afresh):
    """An assertion that finds no such job says which there are."""
    double = doubling()
    await double.defer_async(number=1)
    with pytest.raises(AssertionError, match=r"0 jobs of t\.double wait .* \[\{'number': 1\}\]"):
        await assert_deferred(queue, double, {"number": 2})


async def test_a_second_job_is_told(queue: Afresh):
    """An assertion of one job does not pass with two."""
    double = doubling()
    for _ in range(2):
        await double.defer_async(number=1)
    with pytest.raises(AssertionError, match="2 jobs"):
        await assert_deferred(queue, double)


@pytest.fixture(params=["in memory", "in Postgres"])
async def either(request: pytest.FixtureRequest, queue_app: Afresh) -> AsyncIterator[Afresh]:
    """Both kinds of queue."""
    if request.param == "in Postgres":
        yield queue_app
        return
    async with in_memory() as queue:
        queue.import_paths = []
        yield queue


async def test_draining_runs_what_waits(either: Afresh):
    """Draining runs jobs, and those that they defer."""
    double = doubling()

    @task(name="t.parent")
    async def parent() -> None:
        await double.defer_async(number=1)

    await parent.defer_async()
    assert await drain(either) == Drained(succeeded=2, failed=0, waiting=0)


async def test_draining_leaves_retries(either: Afresh):
    """A retry that waits for its time stays where it is."""
    greet = greeting()
    await greet.defer_async(name="Ada")
    with failing(greet, REFUSED):
        assert await drain(either) == Drained(succeeded=0, failed=0, waiting=1)


async def test_draining_through_retries(either: Afresh):
    """With `later`, a job that fails twice and then works has succeeded."""
    greet = greeting()
    await greet.defer_async(name="Ada")
    with failing(greet, REFUSED, times=2):
        assert await drain(either, later=True) == Drained(succeeded=1, failed=0, waiting=0)


async def test_draining_to_the_end_of_retries(either: Afresh):
    """With `later`, a job that never works has failed when its policy is exhausted."""
    greet = greeting(retry=ExponentialBackoff(max_retries=2))
    await greet.defer_async(name="Ada")
    with failing(greet, REFUSED):
        assert await drain(either, later=True) == Drained(succeeded=0, failed=1, waiting=0)


async def test_draining_ends(queue: Afresh):
    """A job that is tried again for ever is told instead of waited for."""
    again = itertools.count()

    @task(name="t.again", retry=ExponentialBackoff(max_retries=None, max_delay=timedelta(hours=1)))
    async def endless() -> None:
        next(again)
        raise ConnectionRefusedError

    await endless.defer_async()
    with pytest.raises(AssertionError, match="still tried again"):
        await drain(queue, later=True)
    assert next(again) == 100


async def test_the_clock_makes_no_jobs(queue: Afresh):
    """A periodic task is not deferred while a queue is drained, and keeps its schedule."""

    @task(name="t.every_second", periodic="* * * * * *")
    async def tick() -> None: ...

    known = dict(queue.periodic_registry.periodic_tasks)
    assert known
    assert await drain(queue) == Drained(0, 0, 0)
    assert queue.periodic_registry.periodic_tasks == known
    assert tick.name == "t.every_second"


async def test_a_task_runs_again_as_written():
    """After the block a task is what it was, and so is where it is deferred."""
    greet = greeting()
    former, written = greet.blueprint, greet.func
    async with in_memory():
        with failing(greet, REFUSED):
            assert greet.func is not written
    assert (greet.func, greet.blueprint) == (written, former)
    assert declarations.tasks[greet.name] is greet


async def test_settings_are_those_given():
    """A queue in memory decides by the settings it is given."""
    greet = greeting()
    none = replace(default_settings(), retry=RetrySettings(max_retries=0))
    async with in_memory(none) as queue:
        with failing(greet, REFUSED):
            ran = await run_inline(queue, greet, {"name": "Ada"})
    assert isinstance(ran.decision, DeadLetter)
