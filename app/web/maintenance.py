"""The maintenance window, as it is opened and ended from outside."""

from datetime import UTC, datetime, timedelta
from typing import Any

from psycopg import AsyncConnection

from ..store.monitoring import start_monitoring, stop_monitoring
from .errors import InvalidInput, NotStopped

LONGEST_STOP = timedelta(days=7)
"""Whoever needs longer switches rules off by their settings."""


async def stop(conn: AsyncConnection[Any], duration: timedelta, *, actor: str, reason: str) -> datetime:
    """Take no samples, and open, resolve and send no alerts, for a while; return when that ends by itself.

    Raises:
        InvalidInput: It is for too long.
    """
    if duration > LONGEST_STOP:
        raise InvalidInput("duration", "7 days at most")
    until = datetime.now(UTC) + duration
    await stop_monitoring(conn, until=until, duration=duration, actor=actor, reason=reason)
    return until


async def start(conn: AsyncConnection[Any], *, actor: str, reason: str | None) -> None:
    """End the window before its time.

    Raises:
        NotStopped: There is none.
    """
    if not await start_monitoring(conn, now=datetime.now(UTC), actor=actor, reason=reason):
        raise NotStopped
