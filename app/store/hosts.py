"""Hosts of API processes, as those describe them once a minute. Workers describe theirs with each heartbeat."""

from datetime import timedelta
from typing import Any, NamedTuple

from psycopg import AsyncConnection

from ..postgres.sqlfiles import load

SQL = load("hosts")

LATELY = timedelta(minutes=3)
"""Of a host of which nobody has said anything for so long, nothing is known."""


class ApiHost(NamedTuple):
    """A host; in percent, of its container if that is fuller. Of its disks, the fullest."""

    host: str
    memory_percent: float
    disk_percent: float


async def tell_host(conn: AsyncConnection[Any], told: ApiHost) -> None:
    """Say how full a host is now."""
    await conn.execute(SQL["tell_host"], told._asdict())


async def list_hosts(conn: AsyncConnection[Any]) -> list[ApiHost]:
    """Those of which something was said lately."""
    return [ApiHost(*row) for row in await (await conn.execute(SQL["list_hosts"], {"lately": LATELY})).fetchall()]
