"""Forgetting what is over, a slice of rows at a time; `queue.purge` sets the pace.

Never decides what is still needed: that stands in the SQL of each kind, beside its tables.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, LiteralString, NamedTuple
from uuid import UUID

import orjson
from psycopg import AsyncConnection
from psycopg.rows import class_row, dict_row

from ..postgres.sqlfiles import load

SQL = load("retention")

KINDS: Mapping[str, LiteralString] = MappingProxyType(
    {
        "dead_letters": SQL["purge_letters"],
        "attempts": SQL["purge_attempts"],
        "progress": SQL["purge_progress"],
        "mail": SQL["purge_mail"],
        "audit": SQL["purge_audit"],
        "breaker_events": SQL["purge_breaker_events"],
        "probes": SQL["purge_probes"],
        "failure_groups": SQL["purge_groups"],
        "counts": SQL["purge_counts"],
        "jobs": SQL["purge_jobs"],
        "batches": SQL["purge_batches"],
        "bulk_actions": SQL["purge_bulks"],
    }
)
"""What is forgotten, in this order: letters before the jobs whose options they hold, batches and bulk actions last."""

_OTHERS = ("failed", "cancelled", "aborted")


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What is kept how long.

    Attributes:
        succeeded: Jobs that succeeded, since they ended.
        failed: Jobs that ended otherwise, and dead letters since they were resolved or abandoned.
        attempts: Attempts, progress that was reported, and who got which mail.
        audit: The audit, and failure groups since they were met last.
        samples: Transitions of breakers.
        most_succeeded: Jobs that succeeded, of which no more are kept whatever their age; 0: no limit.
        most_failed: The same of failed, of cancelled and of aborted jobs, each.
    """

    succeeded: timedelta = timedelta(days=7)
    failed: timedelta = timedelta(days=30)
    attempts: timedelta = timedelta(days=30)
    audit: timedelta = timedelta(days=365)
    samples: timedelta = timedelta(days=90)
    most_succeeded: int = 0
    most_failed: int = 0


class Slice(NamedTuple):
    """What one statement did.

    Attributes:
        looked: Rows it looked at.
        last: The id it came to; None: what follows is too young.
        removed: Rows it removed; of jobs, without what went with them.
    """

    looked: int
    last: int | None
    removed: int


class Bounds(NamedTuple):
    """Which jobs a purge has to look at.

    Attributes:
        before: Those with a lower id; None: there are no jobs.
        keep: By status, the id below which age does not matter.
    """

    before: int | None
    keep: dict[str, int]


@dataclass(frozen=True, slots=True)
class LastPurge:
    """What the last purge did. `removed` tells rows by kind; one that never ended had its process die."""

    began_at: datetime | None
    ended_at: datetime | None
    removed: dict[str, int]
    at_work: bool


async def hold_purge(conn: AsyncConnection[Any], holder: UUID, *, lease: timedelta, removed: Mapping[str, int]) -> bool:
    """Take the lease under which one purge works at a time, or keep it; False: somebody else has it."""
    given = {"holder": holder, "seconds": lease.total_seconds(), "removed": orjson.dumps(removed).decode()}
    row = await (await conn.execute(SQL["hold_purge"], given)).fetchone()
    return bool(row and row[0])


async def end_purge(conn: AsyncConnection[Any], holder: UUID, *, removed: Mapping[str, int]) -> None:
    """Give the lease back, if it is still held."""
    await conn.execute(SQL["end_purge"], {"holder": holder, "removed": orjson.dumps(removed).decode()})


async def hurry_clocked(conn: AsyncConnection[Any], *, patience: timedelta, priority: int) -> int:
    """Give jobs of the clock that were due so long ago, and wait, this priority; how many had less."""
    given = {"patience": patience, "priority": priority}
    return (await conn.execute(SQL["hurry_clocked"], given)).rowcount


async def read_purge(conn: AsyncConnection[Any]) -> LastPurge | None:
    """What the last purge did; None: there was none."""
    async with conn.cursor(row_factory=class_row(LastPurge)) as cursor:
        found = await (await cursor.execute(SQL["read_purge"])).fetchone()
    return found if found and found.began_at else None


async def find_bounds(conn: AsyncConnection[Any], terms: Terms) -> Bounds:
    """Find the jobs that have to be looked at. Where numbers are limited, that costs a second for each million kept."""
    given = asdict(terms) | {
        "statuses": ["succeeded", *_OTHERS],
        "counts": [terms.most_succeeded, *[terms.most_failed] * len(_OTHERS)],
    }
    async with conn.cursor(row_factory=dict_row) as cursor:
        row = await (await cursor.execute(SQL["find_bounds"], given)).fetchone()
    return Bounds(row["before"], row["keep"]) if row else Bounds(None, {})


async def purge_slice(  # noqa: PLR0913  Where a slice begins and how long it is are two things.
    conn: AsyncConnection[Any], kind: str, terms: Terms, *, after: int, most: int, bounds: Bounds
) -> Slice:
    """Look at the next rows of a kind, at most so many, and remove those whose time is over.

    Args:
        conn: In autocommit mode: a slice is a transaction.
        kind: One of `KINDS`.
        terms: What is kept how long.
        after: The id that was come to before.
        most: Rows to look at.
        bounds: Of the jobs.
    """
    given = asdict(terms) | {
        "after": after,
        "most": most,
        "before": bounds.before or 0,
        "keep": orjson.dumps(bounds.keep).decode(),
    }
    async with conn.cursor(row_factory=class_row(Slice)) as cursor:
        return await (await cursor.execute(KINDS[kind], given)).fetchone() or Slice(0, None, 0)
