"""Times as they are read: in UTC, whatever zone the server is in, and within Python's calendar.

Postgres holds what Python cannot: infinity, years before 1 and after 9999.
"""

from datetime import UTC, datetime
from typing import Any

import psycopg
from psycopg.abc import Buffer
from psycopg.types.datetime import TimestamptzLoader

FIRST, LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)


class _Clamped(TimestamptzLoader):
    """Reads what lies beyond Python's calendar as its first or its last moment.

    Every other time is left to Python itself, which is much quicker than a class that is not psycopg's own.
    """

    def load(self, data: Buffer) -> datetime:
        try:
            found = datetime.fromisoformat(str(data, "ascii"))
        except ValueError:  # Another DateStyle, or not in the calendar.
            found = self._load_slowly(data)
        return found if found.tzinfo is UTC else _in_utc(found)

    def _load_slowly(self, data: Buffer) -> datetime:
        try:
            return super().load(data)
        except psycopg.DataError:
            text = bytes(data)
            return FIRST if text.startswith(b"-") or text.endswith(b"BC") else LAST


def _in_utc(time: datetime) -> datetime:
    try:
        return time.astimezone(UTC)
    except OverflowError:
        return FIRST if time.year == FIRST.year else LAST


async def clamp_times(conn: psycopg.AsyncConnection[Any]) -> None:
    """Let a connection read every time: one row must not keep all others from being shown.

    The session's zone stays the server's: a task may have been lent it, with SQL that counts on that.
    """
    conn.adapters.register_loader("timestamptz", _Clamped)


async def set_utc(conn: psycopg.AsyncConnection[Any]) -> None:
    """Let a connection that is lent to nobody tell times in UTC: psycopg's own loader gives them the session's zone.

    A pooler in between knows the zone of each client, and sets it with each transaction.
    """
    if conn.info.parameter_status("TimeZone") != "UTC":
        await conn.execute("SET TimeZone TO 'UTC'")
