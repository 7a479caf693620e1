"""Which workers were lost, and for how long that is to be told.

For a while, so that a worker that was replaced is no alert for ever; longer where nobody was there to tell it, and
where no worker has lived since.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

from psycopg import AsyncConnection

from ...retry.words import duration
from ...store.workers import REMEMBERED, SHOWN, Worker, list_workers
from .rule import Reading
from .rules import LOSS_SHOWN, WORKER_LOST


async def read_workers(
    conn: AsyncConnection[Any], *, stalled_after: timedelta, now: datetime, looked: datetime | None = None
) -> list[Worker]:
    """Workers that live, and those that are gone, as far back as their loss may still have to be told.

    Args:
        conn: Where to look.
        stalled_after: The silence after which a worker counts as lost.
        now: The time of the look.
        looked: The time of the look before; None: there was none.
    """
    back = SHOWN if looked is None else now - looked + LOSS_SHOWN
    kept = min(max(back, SHOWN), REMEMBERED)
    workers = await list_workers(conn, stalled_after=stalled_after, kept=kept)
    if any(each.lives for each in workers):
        return workers
    return await list_workers(conn, stalled_after=stalled_after, kept=REMEMBERED)


def lost(workers: Sequence[Worker], now: datetime, looked: datetime | None = None) -> list[Worker]:
    """Those whose loss is to be told, given all that `read_workers` found."""
    last = now if any(each.lives for each in workers) else max(filter(None, map(_seen, workers)), default=now)
    since = min(now, last, looked or now) - LOSS_SHOWN
    return [each for each in workers if each.was_lost(since=since)]


def losses(
    workers: Sequence[Worker], now: datetime, *, looked: datetime | None = None, resumed: datetime | None = None
) -> Iterator[Reading]:
    """Workers that fell silent without having said that they stop: 1, or 2 where no other lives.

    Args:
        workers: As `read_workers` found them.
        now: The time of the look.
        looked: The time of the look before; what was lost since then is told once at least.
        resumed: When the last maintenance window ended. What was lost before opens nothing.
    """
    alone = not any(each.lives for each in workers)
    for worker in lost(workers, now, looked):
        if worker.beat_at is None:
            continue
        holds = f", and still holds {worker.running} jobs" if worker.running else ""
        silent = duration(max(1, round((now - worker.beat_at).total_seconds())))
        detail = f"it has given no sign of life for {silent}{holds}{'; no worker is left' if alone else ''}"
        keeps = resumed is not None and worker.beat_at < resumed
        yield Reading(WORKER_LOST, str(worker), 2 if alone else 1, detail, keeps=keeps)


def _seen(worker: Worker) -> datetime | None:
    return worker.stopped_at or worker.beat_at
