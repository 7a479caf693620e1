"""Who changed what, and why. Written in the transaction of the change, or not at all."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, LiteralString

import orjson
from psycopg import AsyncConnection

from ..postgres.sqlfiles import load
from ..redact import redact, redact_text
from .paging import Listing, Page, Part, fetch_page

SQL = load("audit")

MOST_NAMES = 200
"""Actors, and actions, that a choice among them names."""

LISTING = Listing(
    key="id",
    page=SQL["list_audit"],
    count=SQL["count_audit"],
    estimate=SQL["estimate_audit"],
    conditions={
        "actor": "actor = %(actor)s::text",
        "action": "action = %(action)s::text",
        "target": "target = %(target)s::text",
    },
)


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
    return await fetch_page(conn, LISTING, asdict(chosen), Part(limit, before, offset))


async def list_actors(conn: AsyncConnection[Any]) -> list[str]:
    """Who has changed anything, by name, `MOST_NAMES` at most."""
    return await _names(conn, SQL["list_actors"])


async def list_actions(conn: AsyncConnection[Any]) -> list[str]:
    """What has been done, by name, `MOST_NAMES` at most."""
    return await _names(conn, SQL["list_actions"])


async def _names(conn: AsyncConnection[Any], query: LiteralString) -> list[str]:
    rows = await (await conn.execute(query, {"most": MOST_NAMES})).fetchall()
    return [name for (name,) in rows]
