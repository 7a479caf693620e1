"""What a worker does besides running jobs, each in a loop of its own that outlives its own trouble."""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from typing import TYPE_CHECKING, Any

import psycopg
from procrastinate import exceptions

from .clock import defer_periodically
from .overrun import end_overruns
from .purge import hurry
from .rescue import rescue_stalled

if TYPE_CHECKING:
    from .worker import AfreshWorker

RESCUE_SECONDS = 5.0
"""Between two looks for jobs of lost workers."""

LONGEST_RESTART = 5.0
"""Seconds between two starts of a loop that keeps failing."""

STEADY_SECONDS = 60.0
"""A loop that ran for so long is well: its next failure is the first again."""

BEAT_AGAIN = 0.5
"""Seconds before a heartbeat that failed is tried again. After an outage the others wait no longer for this worker
than `rescue.Silence` says."""

TROUBLE = (psycopg.Error, exceptions.ConnectorException, TimeoutError)
"""Whatever the database answers, or does not: no error of one statement may end a worker."""

_logger = logging.getLogger(__name__)


def side_loops(worker: "AfreshWorker") -> list[asyncio.Task[Any]]:
    """Start the loops of a worker."""
    loops: dict[str, Callable[[], Awaitable[None]]] = {
        "settler": worker.settler.run,
        "heartbeat": lambda: beat(worker),
        "rescue": lambda: rescue(worker),
        "breakers": worker.app.dependencies.look,
        "reports": worker.app.dependencies.report,
        "adaptation": worker.app.adaptation.look,
        "overruns": lambda: end_overruns(worker),
        "overload": lambda: worker.overload.watch(
            release_ahead=worker.release_ahead,
            wake=worker._new_job_event.set,  # noqa: SLF001  As below.
        ),
        "aborts": worker._poll_jobs_to_abort,  # noqa: SLF001  The worker's own loop; Procrastinate names it so.
        "periodic": lambda: defer_periodically(worker.app),
    }
    if worker.listen_notify:
        loops["listener"] = lambda: worker.app.job_manager.listen_for_jobs(
            on_notification=worker._handle_notification,  # noqa: SLF001  As above.
            queues=worker.queues,
        )
    return [asyncio.create_task(supervise(name, loop), name=name) for name, loop in loops.items()]


async def supervise(name: str, loop: Callable[[], Awaitable[None]]) -> None:
    """Run a loop, and again after an error, until it returns or is cancelled."""
    pause = 0.5
    while True:
        began = time.monotonic()
        try:
            await loop()
        except Exception as error:  # noqa: BLE001  The supervisor: no loop's trouble may end the worker or the others.
            pause = 0.5 if time.monotonic() - began > STEADY_SECONDS else pause
            _logger.warning("%s stopped (%s: %s) and is started again", name, type(error).__name__, error)
            await asyncio.sleep(random.uniform(pause / 2, pause))  # noqa: S311  Spreads load; no secret.
            pause = min(2 * pause, LONGEST_RESTART)
        else:
            return


async def beat(worker: "AfreshWorker") -> None:
    """Keep the heartbeat, also while the worker drains; one that fails is tried again soon."""
    while True:
        try:
            await _beat_once(worker)
        except TROUBLE as error:
            worker.settler.outage.lost("heartbeat", error)
            await asyncio.sleep(BEAT_AGAIN)
        else:
            worker.settler.outage.back("heartbeat")
            await asyncio.sleep(worker.update_heartbeat_interval)


async def _beat_once(worker: "AfreshWorker") -> None:
    """One heartbeat: where the pool has no connection to give, or one that leads nowhere, on another at once."""
    try:
        await promptly(worker.beat(), within=worker.update_heartbeat_interval)
    except TROUBLE:
        await promptly(worker.beat(anew=True), within=worker.update_heartbeat_interval)


async def promptly(work: Coroutine[Any, Any, None], *, within: float) -> None:
    """Do it within so many seconds, or be gone: a statement without an answer takes its time also to be cancelled.

    Raises:
        TimeoutError: It took longer.
    """
    task = asyncio.create_task(work)
    task.add_done_callback(lambda done: done.cancelled() or done.exception())  # So that it is not reported as unread.
    try:
        await asyncio.wait({task}, timeout=within)
        if not task.done():
            raise TimeoutError(f"no answer within {within:g} s")
        task.result()
    finally:
        task.cancel()


async def cut_short(work: Coroutine[Any, Any, None], *, stop: asyncio.Event, within: float) -> None:
    """Do it, and be gone within so many seconds of being told to stop: it may wait for an answer that never comes."""
    task, told = asyncio.create_task(work), asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({task, told}, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.wait({task}, timeout=within)
        if task.done():
            task.result()
    finally:
        task.cancel()
        told.cancel()


async def rescue(worker: "AfreshWorker") -> None:
    """Take over the jobs of lost workers, and see that a purge has its turn, out of step with the other workers."""
    for pause in pauses(min(RESCUE_SECONDS, worker.update_heartbeat_interval), random.Random()):  # noqa: S311  As above.
        await asyncio.sleep(pause)
        await rescue_stalled(worker.app)
        await hurry(worker.app)


def pauses(seconds: float, rng: random.Random) -> Iterator[float]:
    """Seconds to wait before each look: workers that start in one instant, as in a deploy, look at other times.

    The first look is anywhere within the interval, and those after it drift apart.
    """
    yield seconds * rng.random()
    while True:
        yield seconds * rng.uniform(0.8, 1.0)
