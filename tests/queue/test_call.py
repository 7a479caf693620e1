"""How a task is called: with what, where, wrapped in what, and what it may raise."""

import asyncio
import contextlib
import functools
import threading
import time
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from procrastinate import Blueprint, JobContext

from app.queue.app import Afresh
from app.queue.task import connection, current_job, task

from .jobs import attempts, rows, status, value
from .workers import work_off

pytestmark = pytest.mark.anyio

Connection = psycopg.AsyncConnection

TIMED_OUT = "app.queue.call.AttemptTimedOut"


class Refused(ConnectionRefusedError):  # noqa: N818 - reads as what happened
    """A failure that passes by itself."""


async def test_an_async_task_runs(queue_app: Afresh, conn: Connection):
    """A task that is async runs with its arguments, and its result is stored."""

    @queue_app.task(name="add")
    async def add_up(a: int, b: int) -> int:
        return a + b

    job_id = await add_up.defer_async(a=1, b=2)
    await work_off(queue_app)
    assert await status(conn, job_id) == "succeeded"
    assert await value(conn, "SELECT result FROM afresh.result WHERE job_id = %s", job_id) == 3


async def test_a_sync_task_runs_in_a_thread(queue_app: Afresh, conn: Connection):
    """A task that is not async runs beside the loop."""

    @queue_app.task(name="where")
    def where() -> str:
        return threading.current_thread().name

    job_id = await where.defer_async()
    await work_off(queue_app)
    assert (await value(conn, "SELECT result FROM afresh.result WHERE job_id = %s", job_id)).startswith("task-")


async def test_a_sync_task_may_return_an_awaitable(queue_app: Afresh, conn: Connection):
    """A plain function that makes a coroutine is a task whose coroutine runs."""

    async def later(n: int) -> int:
        return n + 1

    @queue_app.task(name="makes")
    def makes(n: int) -> Any:
        return later(n)

    job_id = await makes.defer_async(n=1)
    await work_off(queue_app)
    assert await value(conn, "SELECT result FROM afresh.result WHERE job_id = %s", job_id) == 2


async def test_such_an_awaitable_has_the_time_of_its_attempt(queue_app: Afresh, conn: Connection):
    """A coroutine that a plain function made is cut off at the limit of both, and what it returns late is discarded."""
    began: list[float] = []

    async def deaf() -> str:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(10)
        began.append(time.monotonic() - began[0])
        return "late"

    @task(name="tests.deaf", slug="deaf", retry=False, timeout=timedelta(seconds=2))
    def makes() -> Any:
        began.append(time.monotonic())
        time.sleep(1)
        return deaf()

    job_id = await makes.defer_async()
    await work_off(queue_app)
    (run,) = await attempts(conn, job_id)
    assert (run["exception_type"], run["message"]) == (TIMED_OUT, "the attempt was still running after 2 s")
    assert began[1] < 2.9  # With all of its time for itself it would be 3.
    assert await rows(conn, "SELECT FROM afresh.result") == []


@pytest.mark.parametrize("is_async", [True, False])
async def test_a_task_gets_its_context(queue_app: Afresh, *, is_async: bool):
    """With pass_context a task knows its job, its worker and what was added for it."""
    seen: list[JobContext] = []

    async def async_task(context: JobContext) -> None:
        seen.append(context)

    def sync_task(context: JobContext) -> None:
        seen.append(context)

    registered = queue_app.task(name="ctx", pass_context=True)(async_task if is_async else sync_task)
    job_id = await registered.defer_async()
    await work_off(queue_app, name="w", additional_context={"a": 1})
    (context,) = seen
    assert (context.job.id, context.worker_name, context.additional_context) == (job_id, "w", {"a": 1})
    assert (context.task, context.app, context.job.task_kwargs) == (registered, queue_app, {})
    assert not context.should_abort()


async def test_middleware_wraps_the_call(queue_app: Afresh):
    """Worker middleware is outermost, then the worker's task middleware, then the task's own."""
    said: list[str] = []

    def saying(name: str) -> Any:
        async def middleware(process: Any, _context: JobContext, _worker: Any) -> Any:
            said.append(f"{name} before")
            result = await process()
            said.append(f"{name} after")
            return result

        return middleware

    @queue_app.task(name="wrapped", task_middleware=[saying("own")])
    async def wrapped() -> None:
        said.append("task")

    await wrapped.defer_async()
    await work_off(queue_app, worker_middleware=[saying("worker")], task_middleware=[saying("wide")])
    before = ["worker before", "wide before", "own before"]
    assert said == [*before, "task", "own after", "wide after", "worker after"]


async def test_sync_middleware_wraps_sync_tasks_alone(queue_app: Afresh):
    """Middleware of a worker applies to tasks of its own kind, in their thread."""
    said: list[str] = []

    def sync_middleware(process: Any, _context: JobContext, _worker: Any) -> Any:
        said.append(threading.current_thread().name[:4])
        return process()

    @queue_app.task(name="sync")
    def sync() -> None:
        pass

    @queue_app.task(name="async")
    async def async_() -> None:
        pass

    await sync.defer_async()
    await async_.defer_async()
    await work_off(queue_app, task_middleware=[sync_middleware])
    assert said == ["task"]


async def test_a_middleware_that_raises_fails_the_job(queue_app: Afresh, conn: Connection):
    """A failure around a task is the job's failure."""

    async def broken(_process: Any, _context: JobContext, _worker: Any) -> Any:
        raise ValueError("broken middleware")

    @queue_app.task(name="fine", retry=0)
    async def fine() -> None:
        pass

    job_id = await fine.defer_async()
    await work_off(queue_app, worker_middleware=[broken])
    assert (await attempts(conn, job_id))[0]["message"] == "broken middleware"


async def test_blueprint_and_builtin_tasks_are_covered(queue_app: Afresh, conn: Connection):
    """Tasks of a blueprint and Procrastinate's own run under the engine like any other."""
    blueprint = Blueprint()

    @blueprint.task(name="fails")
    async def fails() -> None:
        raise Refused

    queue_app.add_tasks_from(blueprint, namespace="ns")
    failing = await queue_app.configure_task("ns:fails").defer_async()
    builtin = queue_app.configure_task("builtin:procrastinate.builtin_tasks.remove_old_jobs", allow_unknown=False)
    purging = await builtin.defer_async(max_hours=1)
    await work_off(queue_app)
    assert [row["failure_type"] for row in await attempts(conn, failing)] == ["TRANSIENT_NETWORK"]
    assert await status(conn, purging) == "succeeded"


async def test_a_callable_without_a_name_is_a_task(queue_app: Afresh, conn: Connection):
    """Whatever can be called can be a task, as in Procrastinate."""

    async def power(exponent: int, base: int) -> int:
        return int(base**exponent)

    square = queue_app.task(name="square")(functools.partial(power, 2))
    job_id = await square.defer_async(base=3)
    await work_off(queue_app)
    assert await value(conn, "SELECT result FROM afresh.result WHERE job_id = %s", job_id) == 9


async def test_arguments_that_are_hardly_json(queue_app: Afresh):
    """Arguments that Procrastinate can defer can be deferred: keys that are numbers, and large integers."""
    got: list[Any] = []

    @queue_app.task(name="takes")
    async def takes(x: Any) -> None:
        got.append(x)

    strange: Any = {"x": {1: 2**70}}
    await takes.defer_async(**strange)
    await takes.batch_defer_async(strange, {"x": [1, "ä"]})
    await work_off(queue_app)
    assert got == [{"1": 2**70}, {"1": 2**70}, [1, "ä"]]


async def test_a_task_knows_its_job_and_has_a_connection(queue_app: Afresh, conn: Connection):
    """A task may ask for the job it runs for, and for a connection to the queue's database."""

    @task(name="asks")
    async def asks() -> list[Any]:
        async with connection() as own:
            return [current_job().job_id, current_job().attempt, await value(own, "SELECT 7")]

    job_id = await asks.defer_async()
    await work_off(queue_app)
    assert await value(conn, "SELECT result FROM afresh.result WHERE job_id = %s", job_id) == [job_id, 1, 7]
