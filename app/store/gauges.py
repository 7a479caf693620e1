"""What Prometheus reads of the whole installation."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import class_row

from ..postgres.sqlfiles import load

SQL = load("gauges")

MOST = 20_000
"""Jobs that are counted one by one of all queues together, of each kind; beyond, there are at least so many."""

FRESH = 10_000
"""Failures that are looked at beside those that are folded, which happens every minute."""


@dataclass(frozen=True, slots=True)
class Gauge:
    """One number: `gauge` says of what (`afresh.gauges` names them), `name` and `state` of which; empty: of all."""

    gauge: str
    name: str
    state: str
    value: float


async def read_gauges(
    conn: AsyncConnection[Any],
    *,
    queues: Sequence[str],
    dependencies: Sequence[str],
    stalled_after: timedelta,
    most: int = MOST,
) -> list[Gauge]:
    """Read all of it at once. What is neither in `queues` nor in `dependencies` is told together, as ``other``.

    Args:
        conn: May be one that can only read.
        queues: Told by name. One that is not in the result has nothing to tell.
        dependencies: Told by name. One that is not in the result is closed.
        stalled_after: The silence after which a worker counts as silent.
        most: Jobs that are counted of all queues together; each queue has an equal share.
    """
    given = {"queues": list(queues), "dependencies": list(dependencies), "stalled_after": stalled_after, "most": most}
    async with conn.cursor(row_factory=class_row(Gauge)) as cursor:
        await cursor.execute(SQL["read_gauges"], given)
        return await cursor.fetchall()


async def count_restless_groups(
    conn: AsyncConnection[Any], *, new_since: datetime, quiet_since: datetime, most: int = FRESH
) -> dict[str, int]:
    """Count failure groups that somebody should look at, by ``new`` and ``regression``.

    Args:
        conn: May be one that can only read.
        new_since: Groups that failed first since then are new.
        quiet_since: Groups that have not failed since then are not told.
        most: Failures that are looked at beside those that are folded.
    """
    given = {"new_since": new_since, "quiet_since": quiet_since, "most": most}
    return dict(await (await conn.execute(SQL["count_restless_groups"], given)).fetchall())
