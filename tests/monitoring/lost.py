"""A worker that nobody hears of any more, as its row tells it."""

from datetime import timedelta

from psycopg import AsyncConnection


async def lose_worker(conn: AsyncConnection, silence: timedelta) -> None:
    """Let a worker have given no sign of life for so long, and never have said that it stops."""
    await conn.execute(
        "INSERT INTO afresh.worker VALUES "
        "(7, 'w', 'host', 1, '0', NULL, 10, 0, false, 1, 1, 1, 1, now(), now() - %s::interval)",
        [silence],
    )
