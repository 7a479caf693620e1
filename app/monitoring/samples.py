"""Taking a sample of how the service did in each minute that is over. Taken twice, it comes to the same."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from psycopg import AsyncConnection

from ..queue.app import Afresh
from ..store import samples
from ..store.dead_letters import count_pending
from ..store.workers import list_workers
from .labels import Names

A_MINUTE = timedelta(minutes=1)

CAUGHT_UP = timedelta(minutes=60)
"""How far back minutes are counted that nobody was there to sample. What waited then, nobody knows any more."""


async def sample(app: Afresh, conn: AsyncConnection[Any], *, now: datetime, resumed: datetime | None = None) -> int:
    """Sample the minutes that are over and not sampled, and the last one before them once more; return how many.

    Once more, because a transaction that was open at a minute's end may have written into it since. Not those of a
    maintenance window that ended at `resumed`.
    """
    taken = list(minutes_to_sample(await samples.last_sampled(conn), now, resumed=resumed))
    for minute in taken:
        await samples.sample_tasks(conn, minute)
    known = Names(app).queues()
    await samples.sample_queues(conn, taken[-1], now=now, known=known, own=app.own_dependencies())
    workers = await list_workers(conn, stalled_after=app.settings.worker.stalled_after)
    alive, pending = sum(worker.lives for worker in workers), await count_pending(conn)
    for minute in taken:
        await samples.sample_service(conn, minute, dead_letters=pending, workers=alive)
    await samples.sum_up(conn, taken)
    return len(taken)


def minutes_to_sample(last: datetime | None, now: datetime, *, resumed: datetime | None = None) -> Iterator[datetime]:
    """The minutes to count at `now`, given the one that was counted last; at least the one that has just ended."""
    newest = _minute(now) - A_MINUTE
    minute = newest - A_MINUTE if last is None else max(last.astimezone(UTC), newest - CAUGHT_UP)
    if resumed is not None:
        minute = max(minute, _minute(resumed))
    minute = min(minute, newest)
    while minute <= newest:
        yield minute
        minute += A_MINUTE


def _minute(time: datetime) -> datetime:
    return time.astimezone(UTC).replace(second=0, microsecond=0)
