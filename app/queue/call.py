"""Calling the task: middleware, context, threads and time limits. What it raises is the caller's business."""

import asyncio
import contextlib
import inspect
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from procrastinate import middleware
from procrastinate.job_context import JobContext
from procrastinate.tasks import Task

from ..retry.markers import OverLimit
from ..retry.policy import Fixed
from .claim import Claimed
from .connector import AfreshConnector
from .settle import SQL, UNREACHABLE
from .task import TaskOptions, options_of, runs_in_loop
from .threads import DaemonThreads

if TYPE_CHECKING:
    from procrastinate.worker import Worker

    from .app import Afresh
    from .worker import AfreshWorker

REST_GRACE = timedelta(seconds=60)
"""A thread that outlived its limit cannot be killed, nor an attempt that refuses to end. Its job's retry waits for it,
but not longer than this."""


class AttemptTimedOut(OverLimit):
    """The attempt was still running at its time limit.

    Attributes:
        rest: What still runs of it: the thread of a task that is not asynchronous, or an attempt that goes on although
            it was cancelled.
        planned: When the retry was wanted, and when it was planned because of that.
    """

    def __init__(self, limit: timedelta, rest: "asyncio.Future[Any] | None" = None) -> None:
        super().__init__(f"the attempt was still running after {limit.total_seconds():g} s")
        self.rest = rest
        self.planned: tuple[datetime, datetime] | None = None

    @property
    def why_later(self) -> str:
        """What keeps the retry waiting."""
        refuses = isinstance(self.rest, asyncio.Task)
        return "it goes on although it was cancelled" if refuses else "its thread still runs and cannot be stopped"


@dataclass(frozen=True, slots=True)
class Prepared:
    """What is known of a task before any of its jobs runs.

    Attributes:
        max_retries: Where the count does not depend on the failure's type; else None.
    """

    task: Task[Any, Any, Any]
    options: TaskOptions
    is_async: bool
    timeout: timedelta
    max_retries: int | None
    track_metrics: bool
    middlewares: tuple[Any, ...]


class Calls:
    """Calls the tasks of one worker."""

    def __init__(self, app: "Afresh", worker: "AfreshWorker") -> None:
        self._app = app
        self._worker = worker
        self._threads = DaemonThreads(worker.concurrency)
        self._prepared: dict[str, Prepared] = {}

    def close(self) -> None:
        """Let threads end when their tasks do, without waiting."""
        self._threads.close()

    def known(self, name: str) -> Prepared | None:
        """The task of that name, if one of its jobs was run; it never fails."""
        return self._prepared.get(name)

    def prepare(self, name: str) -> Prepared | None:
        """The task of that name, or None."""
        known = self._prepared.get(name)
        if known is None:
            task = self._app.tasks.get(name)
            if task is None:
                return None
            known = self._prepared[name] = self._prepare(task)
        return known

    def _prepare(self, task: Task[Any, Any, Any]) -> Prepared:
        is_async = runs_in_loop(task)
        wide = [each for each in self._worker.task_middleware if middleware.is_async_middleware(each) is is_async]
        tier = self._app.engine.tier_of(task)
        return Prepared(
            task=task,
            options=options_of(task),
            is_async=is_async,
            timeout=self._app.engine.timeout_of(task),
            max_retries=tier.policy.max_retries if isinstance(tier, Fixed) else None,
            track_metrics=tier.policy.track_metrics if isinstance(tier, Fixed) else True,
            middlewares=(*wide, *task.task_middleware),
        )

    async def call(self, prepared: Prepared, claimed: Claimed, context: JobContext, worker: "Worker") -> Any:
        """Run the task within its time limit and return what it returns.

        Raises:
            AttemptTimedOut: It took too long.
            BaseException: Whatever the task raises.
        """
        if not worker.worker_middleware:
            return await self._within_limit(prepared, claimed, context, worker)

        async def run() -> Any:
            return await self._within_limit(prepared, claimed, context, worker)

        return await middleware.compose(worker.worker_middleware, run, context, worker)()

    async def _within_limit(self, prepared: Prepared, claimed: Claimed, context: JobContext, worker: "Worker") -> Any:
        limit = claimed.timeout or prepared.timeout
        until = asyncio.get_running_loop().time() + limit.total_seconds()
        if prepared.is_async:
            work: Any = self._awaited(prepared, claimed, context, worker)
        else:
            work = await self._in_thread(prepared, claimed, context, worker, limit)
            if not inspect.isawaitable(work):
                return work
        # A plain function may have made a coroutine: running that is running the task, and its time runs on.
        timer = asyncio.timeout_at(until)
        try:
            async with timer:
                value = await work
        except Exception as error:  # Whatever the task makes of being cancelled at its limit.
            if timer.expired():
                raise AttemptTimedOut(limit) from error
            raise
        if timer.expired():  # It went on all the same: what it returns late is discarded, as that of a thread.
            raise AttemptTimedOut(limit)
        return value

    async def _awaited(self, prepared: Prepared, claimed: Claimed, context: JobContext, worker: "Worker") -> Any:
        args = (context,) if prepared.task.pass_context else ()
        if not prepared.middlewares:
            return await prepared.task.func(*args, **claimed.job.task_kwargs)

        async def run() -> Any:
            return await prepared.task.func(*args, **claimed.job.task_kwargs)

        return await middleware.compose(prepared.middlewares, run, context, worker)()

    async def _in_thread(
        self, prepared: Prepared, claimed: Claimed, context: JobContext, worker: "Worker", limit: timedelta
    ) -> Any:
        args = (context,) if prepared.task.pass_context else ()

        def run() -> Any:
            return prepared.task.func(*args, **claimed.job.task_kwargs)

        composed = middleware.compose(prepared.middlewares, run, context, worker)
        thread = self._threads.run(composed)
        done, _ = await asyncio.wait({thread}, timeout=limit.total_seconds())
        if not done:
            if claimed.job.lock is not None:  # The lock promises one at a time: nothing follows before the thread ends.
                await asyncio.wait({thread})
            raise AttemptTimedOut(limit, thread)
        return thread.result()

    async def wait_for_thread(self, timed_out: AttemptTimedOut, claimed: Claimed) -> None:
        """Keep the slot until the thread ends, discard what it returns, and bring the delayed retry forward."""
        if timed_out.rest is None:
            return
        await asyncio.wait({timed_out.rest})
        if not timed_out.rest.cancelled():
            timed_out.rest.exception()  # Read, so that it is not reported as never retrieved.
        await self.bring_forward(timed_out, claimed.job_id)

    async def bring_forward(self, timed_out: AttemptTimedOut, job_id: int) -> None:
        """Let a retry that was delayed for what still ran start when it was wanted: that has ended."""
        if timed_out.planned is None:
            return
        wanted, planned = timed_out.planned
        connector = self._app.connector
        at = max(wanted, datetime.now(UTC))
        if at < planned and isinstance(connector, AfreshConnector):
            await self._worker.settler.written(job_id)
            with contextlib.suppress(*UNREACHABLE):  # It then starts as planned.
                async with connector.connection() as conn:
                    await conn.execute(SQL["advance_retry"], {"job_id": job_id, "at": at, "planned": planned})


def delayed_by_rest(retry_at: datetime, timed_out: AttemptTimedOut, now: datetime) -> datetime:
    """When a retry may start at the earliest, and a note of it for `Calls.bring_forward`."""
    if timed_out.rest is None or timed_out.rest.done():
        return retry_at
    planned = max(retry_at, now + REST_GRACE)
    timed_out.planned = (retry_at, planned)
    return planned
