"""Times that Postgres can hold and Python cannot: infinity, years before 1 and after 9999."""

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
            return datetime.fromisoformat(str(data, "ascii"))
        except ValueError:  # Another DateStyle, or not in the calendar.
            return self._load_slowly(data)

    def _load_slowly(self, data: Buffer) -> datetime:
        try:
            return super().load(data)
        except psycopg.DataError:
            text = bytes(data)
            return FIRST if text.startswith(b"-") or text.endswith(b"BC") else LAST


async def clamp_times(conn: psycopg.AsyncConnection[Any]) -> None:
    """Let a connection read every time: one row must not keep all others from being shown."""
    conn.adapters.register_loader("timestamptz", _Clamped)
