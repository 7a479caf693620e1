"""How many workers are wanted, from what waits and how long jobs take. Never starts or stops one."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import class_row

from ..postgres.sqlfiles import load

SQL = load("scaling")

COUNTED = 100_000
"""Ready jobs of a queue that are counted; beyond, the wanted workers are at least so many."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What one queue wants, or all together.

    Attributes:
        queue_name: None: all together.
        ready: Jobs that could run now; what is held back is not ready.
        ended_per_second: Runs that ended, over 5 minutes, or less where very much happens.
        seconds_per_job: How long such a run took on average; None: none has ended lately, and 1 is taken for it.
        slots: Jobs that should run at once.
        concurrency: Of the worker that started last.
        drain_seconds: Within which time the backlog should be done.
        wanted_workers: Slots by concurrency, rounded up; of single queues they do not add up to that of all.
    """

    queue_name: str | None
    ready: int
    running: int
    ended_per_second: float
    seconds_per_job: float | None
    slots: float
    concurrency: int
    drain_seconds: float
    wanted_workers: int


async def tell_drain(conn: AsyncConnection[Any], drain: timedelta) -> None:
    """Say how soon a backlog should be done; written only where that is new."""
    await conn.execute(SQL["tell_drain"], {"drain_seconds": drain.total_seconds()})


async def read_scaling(conn: AsyncConnection[Any]) -> tuple[Wanted, list[Wanted]]:
    """What is wanted in all, and by queue, for those with work."""
    async with conn.cursor(row_factory=class_row(Wanted)) as cursor:
        *queues, whole = await (await cursor.execute(SQL["read_scaling"], prepare=False)).fetchall()
    return whole, queues
