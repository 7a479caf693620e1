"""Taking a sample of how the service did in each minute that is over. Taken twice, it comes to the same."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from psycopg import AsyncConnection

from ..queue.app import Afresh
from ..store import samples
from ..store.adaptation import count_ready
from ..store.queues import COUNTED_EXACTLY, list_queues
from ..store.samples import QueuePoint
from ..store.workers import list_workers

A_MINUTE = timedelta(minutes=1)

CAUGHT_UP = timedelta(minutes=60)
"""How far back minutes are counted that nobody was there to sample. What waited then, nobody knows any more."""


async def sample(app: Afresh, conn: AsyncConnection[Any], *, now: datetime) -> int:
    """Sample the minutes that are over and not sampled, and the last one before them once more; return how many.

    Once more, because a transaction that was open at a minute's end may have written into it since.
    """
    taken = list(minutes_to_sample(await samples.last_sampled(conn), now))
    for minute in taken:
        await samples.sample_tasks(conn, minute)
    await _look_at_queues(app, conn, taken[-1], now)
    workers = await list_workers(conn, stalled_after=app.settings.worker.stalled_after)
    for minute in taken:
        await samples.sample_service(conn, minute, workers=sum(worker.lives for worker in workers))
    for hour in sorted({minute.replace(minute=0) for minute in taken}):
        await samples.sum_hour(conn, hour)
    return len(taken)


def minutes_to_sample(last: datetime | None, now: datetime) -> Iterator[datetime]:
    """The minutes to count at `now`, given the one that was counted last; at least the one that has just ended."""
    newest = now.astimezone(UTC).replace(second=0, microsecond=0) - A_MINUTE
    minute = newest - A_MINUTE if last is None else min(max(last.astimezone(UTC), newest - CAUGHT_UP), newest)
    while minute <= newest:
        yield minute
        minute += A_MINUTE


async def _look_at_queues(app: Afresh, conn: AsyncConnection[Any], minute: datetime, now: datetime) -> None:
    """What is held back is not ready; its age does not count where nothing else is there."""
    own = app.own_dependencies()
    for depth in await list_queues(conn):
        ready = await count_ready(conn, depth.name, own=own, most=COUNTED_EXACTLY)
        waited = (now - depth.ready_since).total_seconds() if ready and depth.ready_since else 0.0
        point = QueuePoint(minute, depth.name, ready, ready, max(0.0, waited), depth.running)
        await samples.sample_queue(conn, point)
