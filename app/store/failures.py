"""What the history of failures comes to by type, and the folding that keeps reading it short."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import class_row

from ..postgres.sqlfiles import load
from .steps import delete_in_steps

SQL = load("failures")

FOLDED_AT_ONCE = 5_000
"""Attempts that one statement folds at most."""

HOURS_KEPT = timedelta(days=90)
"""How long failures are known by the hour."""


@dataclass(frozen=True, slots=True)
class TypeCount:
    """How often a failure type was met, in how many jobs for the first time, and when last."""

    failure_type: str
    failures: int
    jobs: int
    last_seen: datetime


def first_hour(now: datetime, hours: int) -> datetime:
    """The beginning of the first of so many hours, the present one included."""
    return now.replace(minute=0, second=0, microsecond=0) - timedelta(hours=hours - 1)


async def count_types(conn: AsyncConnection[Any], since: datetime) -> dict[str, TypeCount]:
    """Count the ended runs of each failure type since the hour that began at `since`; types not met are missing."""
    async with conn.cursor(row_factory=class_row(TypeCount)) as cursor:
        rows = await (await cursor.execute(SQL["count_types"], {"since": since})).fetchall()
    return {row.failure_type: row for row in rows}


async def fold_failures(conn: AsyncConnection[Any], *, at_once: int = FOLDED_AT_ONCE) -> int:
    """Fold the failures that have come in, in small transactions; return how many attempts and recoveries there were.

    Those that a transaction still open may add to are left for the next time, as is everything while another process
    folds. `conn` is in autocommit mode: a note has to be committed before what it notes is folded.
    """
    folded = 0
    for _ in range(2):  # The first round may find an earlier note; the second sees what has come in since that.
        await conn.execute(SQL["note_failures"])
        taken = at_once
        while taken >= at_once:
            taken = await _fold_some(conn, at_once)
            folded += taken
    return folded


async def forget_hours(conn: AsyncConnection[Any], *, kept: timedelta = HOURS_KEPT) -> int:
    """Delete what is known by the hour and older than `kept`, in small steps; return how many rows that were."""
    return sum(
        [
            await delete_in_steps(conn, SQL[name], {"kept": kept}, most=FOLDED_AT_ONCE)
            for name in ("forget_hours", "forget_group_hours")
        ]
    )


async def _fold_some(conn: AsyncConnection[Any], most: int) -> int:
    row = await (await conn.execute(SQL["fold_failures"], {"most": most})).fetchone()
    return int(row[0]) if row else 0
