"""What is held back at claim time: queues that an operator paused, dependencies that are down.

A hold is in force with the next claim of every worker; the notification only makes them let go of what they claimed
ahead, or look again.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from psycopg import AsyncConnection
from psycopg.rows import class_row

from ..postgres.sqlfiles import load
from ..redact import redact_text
from .audit import record

SQL = load("holds")

Kind = Literal["queue", "dependency"]


@dataclass(frozen=True, slots=True)
class Hold:
    """Something that is held back."""

    kind: Kind
    name: str
    reason: str
    held_by: str
    held_at: datetime


async def hold(conn: AsyncConnection[Any], kind: Kind, name: str, *, reason: str, actor: str) -> bool:
    """Hold `name` back, with an audit row; False if it is held already."""
    return await _change(conn, "insert_hold", "pause", kind, name, reason, actor)


async def release(conn: AsyncConnection[Any], kind: Kind, name: str, *, reason: str, actor: str) -> bool:
    """Let `name` go on, with an audit row; False if it was not held."""
    return await _change(conn, "delete_hold", "resume", kind, name, reason, actor)


async def _change(  # noqa: PLR0913, PLR0917  Who, what, on what, and why.
    conn: AsyncConnection[Any], query: str, verb: str, kind: Kind, name: str, reason: str, actor: str
) -> bool:
    reason = redact_text(reason)
    async with conn.transaction():
        cursor = await conn.execute(SQL[query], {"kind": kind, "name": name, "reason": reason, "actor": actor})
        if await cursor.fetchone() is None:
            return False
        await record(conn, actor=actor, action=f"{kind}.{verb}", target=name, reason=reason)
    return True


async def list_holds(conn: AsyncConnection[Any]) -> list[Hold]:
    """Everything that is held."""
    async with conn.cursor(row_factory=class_row(Hold)) as cursor:
        return await (await cursor.execute(SQL["list_holds"])).fetchall()


async def find_hold(conn: AsyncConnection[Any], kind: Kind, name: str) -> Hold | None:
    """What holds `name` back, or None."""
    return next((each for each in await list_holds(conn) if (each.kind, each.name) == (kind, name)), None)
