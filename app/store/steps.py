"""Deleting a little at a time, so that no statement holds many rows for long."""

from collections.abc import Mapping
from typing import Any, LiteralString

from psycopg import AsyncConnection


async def delete_in_steps(
    conn: AsyncConnection[Any], query: LiteralString, given: Mapping[str, Any], *, most: int
) -> int:
    """Run a DELETE of ``most`` rows at most until it finds fewer; return how many rows are gone.

    Args:
        conn: In autocommit mode, or all steps are one transaction.
        query: Takes ``most`` besides `given`.
        given: Its other parameters.
        most: Rows of one step.
    """
    gone, deleted = 0, most
    while deleted >= most:
        deleted = (await conn.execute(query, {**given, "most": most})).rowcount
        gone += deleted
    return gone
