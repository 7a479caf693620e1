"""Whether monitoring is stopped for maintenance. It goes on by itself; whatever stops or starts it is in the audit."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import class_row

from ..postgres.sqlfiles import load
from ..redact import redact_text
from .audit import record

SQL = load("alerts")


@dataclass(frozen=True, slots=True)
class Monitoring:
    """When alerts were evaluated last, and the last maintenance window.

    Attributes:
        evaluated_at: None: never.
        stopped_until: When it ends by itself, or when somebody ended it.
    """

    evaluated_at: datetime | None = None
    stopped_at: datetime | None = None
    stopped_until: datetime | None = None
    stopped_by: str | None = None
    stopped_because: str | None = None

    def is_stopped(self, now: datetime) -> bool:
        """Whether nothing is sampled and nobody is told at that time."""
        return self.stopped_until is not None and now < self.stopped_until

    def resumed_at(self, now: datetime) -> datetime | None:
        """When the last maintenance window was over at that time; None: there was none, or it is not over."""
        return None if self.stopped_until is None or now < self.stopped_until else self.stopped_until


async def read_monitoring(conn: AsyncConnection[Any]) -> Monitoring:
    """How monitoring stands."""
    async with conn.cursor(row_factory=class_row(Monitoring)) as cursor:
        return await (await cursor.execute(SQL["read_monitoring"])).fetchone() or Monitoring()


async def lock_monitoring(conn: AsyncConnection[Any]) -> Monitoring | None:
    """As `read_monitoring`, and nobody else gets it until the transaction ends; None: somebody else has it."""
    await conn.execute(SQL["have_monitoring"])
    async with conn.cursor(row_factory=class_row(Monitoring)) as cursor:
        return await (await cursor.execute(SQL["lock_monitoring"])).fetchone()


async def note_evaluation(conn: AsyncConnection[Any], now: datetime) -> None:
    """Remember when alerts were evaluated."""
    await conn.execute(SQL["note_evaluation"], {"now": now})


async def stop_monitoring(
    conn: AsyncConnection[Any], *, until: datetime, duration: timedelta, actor: str, reason: str
) -> None:
    """Sample nothing and tell nobody until a time, with an audit row."""
    reason = redact_text(reason)
    async with conn.transaction():
        await conn.execute(SQL["stop_monitoring"], {"until": until, "actor": actor, "reason": reason})
        details = {"until": until.isoformat(), "seconds": duration.total_seconds()}
        await record(conn, actor=actor, action="monitoring.stop", target="monitoring", reason=reason, details=details)


async def start_monitoring(conn: AsyncConnection[Any], *, now: datetime, actor: str, reason: str | None) -> bool:
    """Go on, with an audit row; False if it was not stopped."""
    async with conn.transaction():
        if await (await conn.execute(SQL["start_monitoring"], {"now": now})).fetchone() is None:
            return False
        await record(conn, actor=actor, action="monitoring.start", target="monitoring", reason=reason)
    return True
