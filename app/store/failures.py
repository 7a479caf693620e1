"""What the history of failed attempts tells as a whole."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import class_row

from ..postgres.sqlfiles import load

SQL = load("failures")


@dataclass(frozen=True, slots=True)
class TypeCount:
    """How often a failure type was met, in how many jobs, and when last."""

    failure_type: str
    failures: int
    jobs: int
    last_seen: datetime


async def count_types(conn: AsyncConnection[Any], window: timedelta) -> dict[str, TypeCount]:
    """Count the ended runs of each failure type in the `window` until now; types that were not met are missing."""
    async with conn.cursor(row_factory=class_row(TypeCount)) as cursor:
        rows = await (await cursor.execute(SQL["count_types"], {"window": window})).fetchall()
    return {row.failure_type: row for row in rows}
