"""What the database itself can tell about health."""

from datetime import datetime, timedelta
from typing import Any

from psycopg import AsyncConnection

from ..postgres.sqlfiles import load

SQL = load("health")


async def schema_version(conn: AsyncConnection[Any]) -> int:
    """Return the number of the newest migration that is applied.

    Raises:
        psycopg.errors.UndefinedTable: There is no schema of ours.
    """
    cursor = await conn.execute(SQL["read_schema_version"])
    row = await cursor.fetchone()
    return int(row[0] or 0) if row else 0


async def working_since(conn: AsyncConnection[Any], *, stalled_after: timedelta) -> datetime | None:
    """Since when the oldest of the workers that live, and have said so, has worked; None: there is none."""
    row = await (await conn.execute(SQL["read_working_since"], {"stalled_after": stalled_after})).fetchone()
    return row[0] if row else None


async def count_workers(conn: AsyncConnection[Any], *, stalled_after: timedelta) -> tuple[int, int]:
    """Return how many workers gave a sign of life within `stalled_after`, and how many did not but hold jobs."""
    cursor = await conn.execute(SQL["count_live_workers"], {"stalled_after": stalled_after})
    row = await cursor.fetchone()
    return (int(row[0]), int(row[1])) if row else (0, 0)
