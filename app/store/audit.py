"""Who changed what, and why. Written in the transaction of the change, or not at all."""

from collections.abc import Mapping
from typing import Any

import orjson
from psycopg import AsyncConnection

from ..postgres.sqlfiles import load

SQL = load("audit")


async def record(  # noqa: PLR0913  Who, what, on what, why, and the rest.
    conn: AsyncConnection[Any],
    *,
    actor: str,
    action: str,
    target: str,
    reason: str | None = None,
    details: Mapping[str, Any] | None = None,
) -> None:
    """Add a row; `action` is ``noun.verb``, such as ``queue.pause``."""
    await conn.execute(
        SQL["insert_audit"],
        {
            "actor": actor,
            "action": action,
            "target": target,
            "reason": reason,
            "details": orjson.dumps(details or {}).decode(),
        },
    )
