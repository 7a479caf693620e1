"""What a worker does besides running jobs, each in a loop of its own that outlives its own trouble."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from .connector import AfreshConnector
from .rescue import rescue_stalled
from .settle import SQL, UNREACHABLE

if TYPE_CHECKING:
    from .worker import AfreshWorker

RESCUE_SECONDS = 5.0
"""Between two looks for jobs of lost workers."""

FIRST_RESTART, LONGEST_RESTART = 0.5, 10.0
"""Seconds between two starts of a loop that keeps failing, from the first to the longest: much less than STALLED_AFTER,
because the heartbeat is one of them."""

_logger = logging.getLogger(__name__)


def side_loops(worker: "AfreshWorker") -> list[asyncio.Task[Any]]:
    """Start the loops of a worker."""
    loops: dict[str, Callable[[], Awaitable[None]]] = {
        "settler": worker.settler.run,
        "heartbeat": lambda: beat(worker),
        "rescue": lambda: rescue(worker),
        "aborts": worker._poll_jobs_to_abort,  # noqa: SLF001  The worker's own loop; Procrastinate names it so.
        "periodic": worker._periodic_deferrer,  # noqa: SLF001  As above.
    }
    if worker.listen_notify:
        loops["listener"] = lambda: worker.app.job_manager.listen_for_jobs(
            on_notification=worker._handle_notification,  # noqa: SLF001  As above.
            queues=worker.queues,
        )
    return [asyncio.create_task(supervise(name, loop), name=name) for name, loop in loops.items()]


async def supervise(name: str, loop: Callable[[], Awaitable[None]]) -> None:
    """Run a loop, and again after an error, until it returns or is cancelled."""
    pause = FIRST_RESTART
    while True:
        began = asyncio.get_running_loop().time()
        try:
            await loop()
        except Exception as error:  # noqa: BLE001  The supervisor: no loop's trouble may end the worker or the others.
            _logger.warning("%s stopped (%s: %s) and is started again", name, type(error).__name__, error)
            if asyncio.get_running_loop().time() - began > LONGEST_RESTART:  # It worked meanwhile.
                pause = FIRST_RESTART
            await asyncio.sleep(random.uniform(pause / 2, pause))  # noqa: S311  Spreads load; no secret.
            pause = min(2 * pause, LONGEST_RESTART)
        else:
            return


async def beat(worker: "AfreshWorker") -> None:
    """Keep the heartbeat; a worker that finds itself pruned registers again, and what it ran is no longer its own."""
    while True:
        await asyncio.sleep(worker.update_heartbeat_interval)
        connector = worker.app.connector
        if not isinstance(connector, AfreshConnector):
            await worker.app.job_manager.update_heartbeat(worker.worker_id or 0)
            continue
        async with connector.connection() as conn:
            cursor = await conn.execute(SQL["beat_heart"], (worker.worker_id,))
            if await cursor.fetchone() is None:
                await worker.register_again()


async def rescue(worker: "AfreshWorker") -> None:
    """Take over the jobs of lost workers, out of step with the other workers.

    After an outage every heartbeat looks old: nobody is judged before all have had the time to beat again.
    """
    while True:
        await asyncio.sleep(RESCUE_SECONDS * random.uniform(0.8, 1.0))  # noqa: S311  Spreads load; no secret.
        try:
            await rescue_stalled(worker.app)
        except UNREACHABLE:
            await asyncio.sleep(worker.app.settings.worker.stalled_after.total_seconds())
