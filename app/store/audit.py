"""Who changed what, and why. Written in the transaction of the change, or not at all."""

from collections.abc import Mapping
from typing import Any

import orjson
from psycopg import AsyncConnection

from ..postgres.sqlfiles import load
from ..redact import redact, redact_text

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
    """Add a row, without the secrets in its texts; `action` is ``noun.verb``, such as ``queue.pause``."""
    await conn.execute(
        SQL["insert_audit"],
        {
            "actor": actor,
            "action": action,
            "target": target,
            "reason": None if reason is None else redact_text(reason),
            "details": orjson.dumps(redact(dict(details or {}))).decode(),
        },
    )
