"""Who changed what, and why. Written in the transaction of the change, or not at all."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import orjson
from psycopg import AsyncConnection
from psycopg.rows import dict_row

from ..postgres.sqlfiles import load
from ..redact import redact, redact_text
from .jobs import COUNTED_EXACTLY, Page

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


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditFilter:
    """Which changes. None: any."""

    actor: str | None = None
    action: str | None = None
    target: str | None = None


async def list_audit(
    conn: AsyncConnection[Any], chosen: AuditFilter, *, limit: int, before: int | None = None, offset: int = 0
) -> Page:
    """Return one page: at most `limit` changes, older than change `before`, after skipping `offset` of them."""
    parameters = asdict(chosen) | {"before": before, "limit": limit + 1, "offset": offset, "most": COUNTED_EXACTLY + 1}
    async with conn.cursor(row_factory=dict_row) as cursor:
        items = await (await cursor.execute(SQL["list_audit"], parameters, prepare=False)).fetchall()
        (counted,) = await (await cursor.execute(SQL["count_audit"], parameters, prepare=False)).fetchall()
    total = min(counted["total"], COUNTED_EXACTLY)
    next_before = items[limit - 1]["id"] if len(items) > limit else None
    return Page(items[:limit], total, counted["total"] <= COUNTED_EXACTLY, next_before)
