"""Queues, and what is in them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import class_row

from ..postgres.sqlfiles import load

SQL = load("queues")

FEWEST = 100
"""However many queues there are, so many jobs of each are counted, and looked at."""


@dataclass(frozen=True, slots=True)
class Closeness:
    """How far is counted.

    Attributes:
        counted, counted_in_all: Waiting jobs that are counted one by one, of a queue and of all together; beyond, there
            are at least so many.
        looked_at, looked_at_in_all: Jobs that wait for their time and are looked at to see whether they ran before.
        events: Latest events that rates are taken from, of all queues together; 0: every rate is 0.
    """

    counted: int
    counted_in_all: int
    looked_at: int
    looked_at_in_all: int
    events: int


CLOSELY = Closeness(20_000, 30_000, 1_000, 2_000, 5_000)
AT_A_GLANCE = Closeness(2_000, 6_000, 200, 500, 0)


@dataclass(frozen=True, slots=True)
class QueueDepth:
    """A queue. The last three are those of its pause, if it is paused.

    Attributes:
        ready_is_exact, later_is_exact: False: more are ready, or wait for their time, than were counted.
        are_told_apart: Whether each job that waits for its time was looked at; else those of a sample were, and
            `scheduled` and `retrying` are as it is in that.
        ready_since: When the oldest ready job was made, or fell due.
        workers: Those that run its jobs now.
        rate_in, rate_out: Jobs made, and ended, per second: over 5 minutes, or less where very much happens.
    """

    name: str
    ready: int
    scheduled: int
    retrying: int
    running: int
    ready_is_exact: bool
    later_is_exact: bool
    are_told_apart: bool
    ready_since: datetime | None
    workers: int
    rate_in: float
    rate_out: float
    reason: str | None
    held_by: str | None
    held_at: datetime | None

    @property
    def is_exact(self) -> bool:
        """Whether all numbers are."""
        return self.ready_is_exact and self.later_is_exact and self.are_told_apart

    @property
    def paused(self) -> bool:
        """Whether an operator holds it back."""
        return self.held_at is not None

    def seconds_to_empty(self) -> float | None:
        """How long until no job is ready, at the present rates; None where that will not be."""
        if self.ready == 0:
            return 0.0
        gain = self.rate_out - self.rate_in
        return None if self.paused or gain <= 0 else self.ready / gain


async def list_queues(
    conn: AsyncConnection[Any],
    *,
    names: Sequence[str] = (),
    name: str | None = None,
    closeness: Closeness = CLOSELY,
) -> list[QueueDepth]:
    """Every queue that has jobs, is paused, or is one of `names`; or of all those only `name`.

    Costs no more for a million jobs: a queue that is asked for alone is counted more closely.
    """
    queues = 1
    if name is None:
        row = await (await conn.execute(SQL["count_queues"], prepare=False)).fetchone()
        queues = max(1, row[0] if row else 1)
    given = {
        "names": list(names),
        "name": name,
        "most": max(FEWEST, min(closeness.counted, closeness.counted_in_all // queues)),
        "closely": max(FEWEST, min(closeness.looked_at, closeness.looked_at_in_all // queues)),
        "events": closeness.events,
    }
    # Rolled back, so that the planner is free again afterwards.
    async with conn.transaction(force_rollback=True), conn.cursor(row_factory=class_row(QueueDepth)) as cursor:
        await cursor.execute(SQL["walk_in_order"])
        await cursor.execute(SQL["list_queues"], given, prepare=False)
        return await cursor.fetchall()


async def find_next_due(conn: AsyncConnection[Any]) -> datetime | None:
    """When the next job that waits for its time falls due, or a limit lets one start; None: none waits."""
    row = await (await conn.execute(SQL["show_next_due"])).fetchone()
    return None if row is None else row[0]
