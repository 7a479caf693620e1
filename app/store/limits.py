"""Limits over all workers: how many jobs may run at the same time, and how many may start in a period.

A limit is in force with the next claim of every worker (migration 0019); what was claimed before goes on.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

from psycopg import AsyncConnection
from psycopg.rows import dict_row

from ..postgres.sqlfiles import load
from .audit import record

SQL = load("limits")

Kind = Literal["queue", "task", "dependency"]

BIGGEST = 1_000_000
"""Jobs of a limit at most: whoever wants more wants none."""


@dataclass(frozen=True, slots=True)
class Rate:
    """So many jobs may start in each period, evenly spread.

    Attributes:
        burst: How many may start at once after a rest; None: a tenth of `jobs`, at least one. In any period no more
            than `jobs` + `burst` - 1 start: with 1 never more than `jobs`.
    """

    jobs: int
    per: timedelta
    burst: int | None = None


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit as it stands.

    Attributes:
        max_running: Jobs that may run at the same time; None: any number.
        room: How many more may start now.
    """

    kind: Kind
    name: str
    max_running: int | None
    rate: Rate | None
    room: int


async def put(  # noqa: PLR0913  What is limited, how, and who says so.
    conn: AsyncConnection[Any],
    kind: Kind,
    name: str,
    *,
    max_running: int | None,
    rate: Rate | None,
    actor: str,
    reason: str,
) -> None:
    """Set the limit of a queue, a task or a dependency, in the place of one that was there, with an audit row.

    Raises:
        psycopg.errors.CheckViolation: It limits nothing, a number is not above 0, or `max_running` is of a dependency.
    """
    details = {
        "max_running": max_running,
        "rate_jobs": rate and rate.jobs,
        "rate_seconds": rate and rate.per.total_seconds(),
        "burst": rate and rate.burst,
    }
    async with conn.transaction():
        await conn.execute(SQL["put_limit"], {"kind": kind, "name": name, **details})
        await record(conn, actor=actor, action=f"{kind}.limit", target=name, reason=reason, details=details)


async def lift(conn: AsyncConnection[Any], kind: Kind, name: str, *, actor: str, reason: str) -> bool:
    """Take a limit away, with an audit row; False if there was none."""
    async with conn.transaction():
        cursor = await conn.execute(SQL["delete_limit"], {"kind": kind, "name": name})
        if await cursor.fetchone() is None:
            return False
        await record(conn, actor=actor, action=f"{kind}.unlimit", target=name, reason=reason)
    return True


async def list_limits(conn: AsyncConnection[Any], kind: Kind | None = None, name: str | None = None) -> list[Limit]:
    """The limits there are, by kind and name, up to 1 000; of all those only the ones asked for."""
    async with conn.cursor(row_factory=dict_row) as cursor:
        found = await (await cursor.execute(SQL["list_limits"], {"kind": kind, "name": name})).fetchall()
    return [_limit(row) for row in found]


def _limit(row: dict[str, Any]) -> Limit:
    rate = None
    if row["rate_jobs"] is not None:
        rate = Rate(row["rate_jobs"], timedelta(seconds=row["rate_seconds"]), row["burst"])
    return Limit(row["kind"], row["name"], row["max_running"], rate, row["room"])
