"""For the tests of your own tasks: run one attempt inline, drain a queue, see what was deferred, let an attempt fail.

Nothing of the engine is replaced: what a test sees classified and decided is what production would do.
"""

import functools
import inspect
import itertools
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

import orjson
from procrastinate.job_context import JobContext
from procrastinate.jobs import Job
from procrastinate.tasks import Task
from procrastinate.testing import InMemoryConnector

from .config import Settings, default_settings
from .postgres.sqlfiles import load
from .queue.app import Afresh, create
from .queue.call import Calls
from .queue.claim import Claimed
from .queue.connector import AfreshConnector
from .queue.execute import Executor
from .queue.settle import Settlement
from .queue.task import declarations
from .retry.failure import Failure
from .retry.policy import Decision
from .telemetry import AttemptFailed, AttemptSnoozed

SQL = load("testing")

MOST_ROUNDS = 100
"""How often `drain` brings forward what waits, before it takes a job for one that never ends."""

AnyTask = Task[Any, Any, Any]


@asynccontextmanager
async def in_memory(settings: Settings | None = None) -> AsyncIterator[Afresh]:
    """A queue without a Postgres, on which every `@task` is deferred until the block is left.

    It has what Procrastinate's InMemoryConnector has: jobs, locks, times. Attempts, dead letters, breakers,
    checkpoints and effects are in Postgres alone.

    Args:
        settings: By default those of `.env.example`, whatever the environment says.
    """
    former = declarations.app
    queue = create(settings or default_settings(), connector=InMemoryConnector())
    try:
        async with queue.open_async():
            yield queue
    finally:
        declarations.app = former
        for declared in declarations.tasks.values():
            declared.blueprint = former or declarations.blueprint


@dataclass(frozen=True, slots=True)
class Ran:
    """What came of one attempt.

    Attributes:
        value: What the task returned, as it would be stored: a tuple is a list.
        failure: What it failed of; None: it did not.
        decision: What follows the failure: a `Retry`, a `Snooze` or a `DeadLetter`.
        reason: Why, in the words that the job's page would show.
    """

    value: Any = None
    failure: Failure | None = None
    decision: Decision | None = None
    reason: str | None = None


async def run_inline(queue: Afresh, task: AnyTask, args: Mapping[str, Any] | None = None, *, attempt: int = 1) -> Ran:
    """Run one attempt here and now, through the engine, and write nothing.

    Time limits, middleware and the context are a worker's. What the task defers is deferred on `queue`.

    Args:
        queue: Whose settings and policies are in force.
        task: What is run.
        args: What it is called with; they pass through JSON as on their way to a worker.
        attempt: Which attempt it is, from 1.
    """
    settled: list[Settlement] = []
    worker = queue._worker(install_signal_handlers=False)  # noqa: SLF001  It is the app's own worker, never started.
    calls = Calls(queue, worker)
    claimed = _claimed(task, args or {}, attempt)
    executor = Executor(queue, calls, settled.append, lambda _: None)
    context = JobContext(
        app=queue, job=claimed.job, abort_reason=lambda: None, start_timestamp=time.time(), additional_context={}
    )
    executor.expect(claimed)
    try:
        await executor.execute(claimed, context, worker)
    finally:
        calls.close()
    return _told_by(*settled)


def _claimed(task: AnyTask, args: Mapping[str, Any], attempt: int) -> Claimed:
    job: Job = task.configure(task_kwargs=orjson.loads(orjson.dumps(dict(args)))).job
    return Claimed(job.evolve(id=0, attempts=attempt - 1, status="doing"), claim=1, job_id=0)


def _told_by(settlement: Settlement) -> Ran:
    value = None if settlement.result is None else orjson.loads(settlement.result)
    for event in settlement.events:
        if isinstance(event, AttemptFailed | AttemptSnoozed):
            return Ran(value, event.failure, event.decision, event.reason)
    return Ran(value)


class Drained(NamedTuple):
    """How many jobs a queue has in the end, in memory or in Postgres."""

    succeeded: int
    failed: int
    waiting: int


async def drain(queue: Afresh, *, later: bool = False) -> Drained:
    """Run a worker until nothing can run any more. Periodic tasks are not deferred meanwhile.

    Args:
        queue: In memory, or open on a Postgres of the tests' own.
        later: Also what waits for its time, retries among it, as if that had come.

    Raises:
        AssertionError: After 100 rounds something still waits for its time.
    """
    with _without_clock(queue):
        for _ in range(MOST_ROUNDS):
            # As run_worker_async, which would also set up the logs of a process.
            worker: Any = queue._worker(wait=False, listen_notify=False, install_signal_handlers=False)  # noqa: SLF001  As above.
            await worker.run()
            if not later or not await _bring_forward(queue):
                return await _count(queue)
    raise AssertionError(f"after {MOST_ROUNDS} rounds a job is still tried again")


@contextmanager
def _without_clock(queue: Afresh) -> Iterator[None]:
    periodic = queue.periodic_registry.periodic_tasks
    kept = dict(periodic)
    periodic.clear()
    try:
        yield
    finally:
        periodic.update(kept)


async def _bring_forward(queue: Afresh) -> bool:
    if isinstance(queue.connector, AfreshConnector):
        async with queue.connection() as conn:
            return (await conn.execute(SQL["bring_forward"])).rowcount > 0
    now, moved = datetime.now(UTC), False
    for row in getattr(queue.connector, "jobs", {}).values():
        if row["status"] == "todo" and row["scheduled_at"] is not None and row["scheduled_at"] > now:
            row["scheduled_at"], moved = None, True
    return moved


async def _count(queue: Afresh) -> Drained:
    found = [str(job.status) for job in await queue.job_manager.list_jobs_async()]
    return Drained(found.count("succeeded"), found.count("failed"), found.count("todo"))


async def deferred(queue: Afresh, task: AnyTask, args: Mapping[str, Any] | None = None) -> list[Job]:
    """The jobs of a task that wait in `queue`, oldest first: those that have these arguments, and maybe more."""
    waiting = await queue.job_manager.list_jobs_async(task=task.name, status="todo")
    wanted = orjson.loads(orjson.dumps(dict(args or {}))).items()
    return sorted((job for job in waiting if wanted <= job.task_kwargs.items()), key=lambda job: job.id or 0)


async def assert_deferred(queue: Afresh, task: AnyTask, args: Mapping[str, Any] | None = None) -> Job:
    """The one job of a task that waits with these arguments; its queue, priority, lock and time are on it.

    Raises:
        AssertionError: There is none, or more than one; it says which jobs of the task there are.
    """
    found = await deferred(queue, task, args)
    if len(found) != 1:
        there = [job.task_kwargs for job in await deferred(queue, task)]
        raise AssertionError(f"{len(found)} jobs of {task.name} wait with {dict(args or {})}; waiting are {there}")
    return found[0]


@contextmanager
def failing(task: AnyTask, error: Exception, *, times: int | None = None) -> Iterator[None]:
    """Let each attempt of a task end in `error`, without running it, until the block is left.

    Args:
        task: Which is to fail.
        error: The real one, as the library in question raises it: it is classified as in production.
        times: After so many attempts it runs again as written; None: never.
    """
    written, begun = task.func, itertools.count(1)

    def fails() -> bool:
        return times is None or next(begun) <= times

    @functools.wraps(written)
    async def awaited(*args: Any, **kwargs: Any) -> Any:
        if fails():
            raise error.with_traceback(None)
        return await written(*args, **kwargs)

    @functools.wraps(written)
    def called(*args: Any, **kwargs: Any) -> Any:
        if fails():
            raise error.with_traceback(None)
        return written(*args, **kwargs)

    task.func = awaited if inspect.iscoroutinefunction(written) else called
    try:
        yield
    finally:
        task.func = written
