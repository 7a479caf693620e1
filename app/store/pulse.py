"""Whether anything has happened since one last looked."""

from typing import Any

from psycopg import AsyncConnection

from ..postgres.sqlfiles import load

SQL = load("pulse")

Pulse = tuple[int | None, ...]
"""Differs from an earlier one as soon as something happened."""


async def read_pulse(conn: AsyncConnection[Any]) -> Pulse:
    """What happened last, of each kind; costs the same whatever there is."""
    row = await (await conn.execute(SQL["read_pulse"])).fetchone()
    return tuple(row or ())
