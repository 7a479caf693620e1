"""Batches: jobs that were handed in together, and how far they are."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import class_row

from ..postgres.sqlfiles import load

SQL = load("batches")

_ENDED = ("succeeded", "failed", "cancelled", "aborted")


@dataclass(frozen=True, slots=True)
class BatchProgress:
    """A batch.

    Attributes:
        total: Jobs that were made.
        skipped: Indices of items that were left out.
        states: Jobs by state; those that are not kept any more are missing.
        recently_ended: Jobs that ended within the last 5 minutes.
        recent_since: When, within those, its first run began or ended; None: nothing has.
    """

    id: int
    task_name: str
    total: int
    skipped: list[int]
    created_by: str
    created_at: datetime
    states: dict[str, int]
    recently_ended: int
    recent_since: datetime | None

    @property
    def gone(self) -> int:
        """Jobs that are not kept any more; only those that have ended are ever deleted."""
        return self.total - sum(self.states.values())

    @property
    def finished(self) -> int:
        """Jobs that have ended."""
        return self.gone + sum(self.states.get(state, 0) for state in _ENDED)

    @property
    def percent(self) -> float:
        """Of the total, that have ended; 100 for an empty batch."""
        return round(100 * self.finished / self.total, 1) if self.total else 100.0

    def eta_seconds(self, now: datetime) -> float | None:
        """How long the rest takes at the rate of the last minutes; None where nothing has ended in them."""
        left = self.total - self.finished
        if left == 0:
            return 0.0
        if not self.recently_ended or self.recent_since is None:
            return None
        return round(left * max((now - self.recent_since).total_seconds(), 0.001) / self.recently_ended, 3)


async def find_batch(conn: AsyncConnection[Any], batch_id: int) -> BatchProgress | None:
    """Return the batch, or None where there is none."""
    async with conn.cursor(row_factory=class_row(BatchProgress)) as cursor:
        await cursor.execute(SQL["find_batch"], {"batch_id": batch_id})
        return await cursor.fetchone()


async def list_job_ids(conn: AsyncConnection[Any], batch_id: int) -> list[int]:
    """Return the jobs of a batch, in the order of its items."""
    cursor = await conn.execute(SQL["list_batch_jobs"], {"batch_id": batch_id})
    return [row[0] for row in await cursor.fetchall()]
