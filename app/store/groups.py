"""Failure groups: failures with one fingerprint, counted, and what operators said about them.

A group is resolved up to a failure, so that a later one is a regression. Its status is derived, never stored.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Literal, LiteralString

from psycopg import AsyncConnection

from ..postgres.sqlfiles import load
from ..redact import redact_text
from .audit import record
from .paging import COUNTED_EXACTLY, Listing, Page, Part, Row, containing, fetch, fetch_page

SQL = load("groups")

HOURS = 24
"""Of a sparkline, the present one included."""

RECENT = 10
"""Failures that are shown with a group."""

Order = Literal["last_seen", "count"]

_ORDERS: Mapping[Order, tuple[LiteralString, LiteralString]] = {
    "last_seen": ("g.last_attempt DESC", "g.last_attempt < %(before)s::bigint"),
    "count": (
        "g.failures DESC, g.last_attempt DESC",
        "(g.failures, g.last_attempt) < (%(before_count)s::bigint, %(before)s::bigint)",
    ),
}
"""How a page is sorted, and what comes after the row that the page before ended with."""

CONDITIONS: Mapping[str, LiteralString] = {
    "status": "afresh.group_status(g.last_attempt, m.resolved_attempt, m.muted_until) = %(status)s::text",
    "task_name": "%(task_name)s::text = ANY (g.tasks)",
    "failure_type": "g.failure_type = %(failure_type)s::text",
    "dependency": "%(dependency)s::text = ANY (g.dependencies) "
    "OR '' = ANY (g.dependencies) AND g.tasks && %(tasks_of_dependency)s::text[]",
    "seen_from": "g.last_seen >= %(seen_from)s::timestamptz",
    "seen_to": "g.last_seen < %(seen_to)s::timestamptz",
    "new_from": "g.first_seen >= %(new_from)s::timestamptz",
    "new_to": "g.first_seen < %(new_to)s::timestamptz",
    "text": "g.message ILIKE %(text)s::text OR g.exception_type ILIKE %(text)s::text "
    "OR array_to_string(g.tasks, ' ') ILIKE %(text)s::text",
}


def listing(order: Order) -> Listing:
    """The list in this order."""
    by, after = _ORDERS[order]
    return Listing(
        key="last_attempt",
        page=SQL["list_groups"].replace("/* order */", by).replace("/* after */", after),
        count=SQL["count_groups"],
        estimate=SQL["estimate_groups"],
        conditions=CONDITIONS,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupFilter:
    """Which groups. None: any. Times are from, and up to but not including.

    Attributes:
        status: open, resolved, regression or muted.
        dependency: What a job relied on; or, where one said nothing, a task in `tasks_of_dependency` was its task.
        seen_from, seen_to: Of the newest failure.
        new_from, new_to: Of the first one.
        text: Occurs in the message or the class of the newest failure, or in the name of a task, in either case.
    """

    status: str | None = None
    task_name: str | None = None
    failure_type: str | None = None
    dependency: str | None = None
    tasks_of_dependency: Sequence[str] = ()
    seen_from: datetime | None = None
    seen_to: datetime | None = None
    new_from: datetime | None = None
    new_to: datetime | None = None
    text: str | None = None

    def parameters(self) -> dict[str, Any]:
        """What the conditions are given."""
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        given["tasks_of_dependency"] = list(self.tasks_of_dependency)
        if self.text is not None:
            given["text"] = containing(self.text)
        return given


async def list_groups(  # noqa: PLR0913  A list has a filter, an order and a part.
    conn: AsyncConnection[Any],
    chosen: GroupFilter,
    *,
    order: Order,
    limit: int,
    before: int | None = None,
    before_count: int | None = None,
    offset: int = 0,
) -> Page:
    """Return one page, with the hours of each group; by count, a page goes on from two numbers."""
    given = chosen.parameters() | {"before_count": before_count}
    page = await fetch_page(conn, listing(order), given, Part(limit, before, offset))
    await _add_hours(conn, page.items)
    return page


async def count_jobs(
    conn: AsyncConnection[Any], fingerprints: Sequence[str], since: datetime, *, most: int
) -> dict[str, tuple[int, bool]]:
    """In how many jobs each group failed since a time, and whether that is all; its newest `most` failures are seen."""
    given = {"fingerprints": list(fingerprints), "since": since, "most": most}
    rows = await fetch(conn, SQL["count_jobs"], given)
    return {row["fingerprint"]: (row["jobs"], row["is_exact"]) for row in rows}


async def count_letters(conn: AsyncConnection[Any], fingerprints: Sequence[str], *, most: int) -> dict[str, int]:
    """How many dead letters of each group wait for somebody, counted up to `most`."""
    rows = await fetch(conn, SQL["count_letters"], {"fingerprints": list(fingerprints), "most": most})
    return {row["fingerprint"]: row["letters"] for row in rows}


async def find_group(conn: AsyncConnection[Any], fingerprint: str) -> Row | None:
    """Return the group with its hours, its newest failures and its pending letters; None where there is none."""
    given = {"fingerprint": fingerprint}
    rows = await fetch(conn, SQL["find_group"], given)
    if not rows:
        return None
    await _add_hours(conn, rows)
    letters = await count_letters(conn, [fingerprint], most=COUNTED_EXACTLY + 1)
    recent = await fetch(conn, SQL["list_recent"], given | {"limit": RECENT})
    return rows[0] | {"pending_letters": letters[fingerprint], "recent": recent}


async def resolve_group(conn: AsyncConnection[Any], fingerprint: str, *, actor: str, reason: str) -> bool:
    """Take a group for resolved up to its newest failure, with an audit row; False where there is none."""
    return await _mark(conn, "resolve", fingerprint, actor, reason)


async def reopen_group(conn: AsyncConnection[Any], fingerprint: str, *, actor: str, reason: str) -> bool:
    """Take that back, with an audit row; False where it was not resolved."""
    return await _mark(conn, "reopen", fingerprint, actor, reason)


async def mute_group(conn: AsyncConnection[Any], fingerprint: str, *, until: datetime, actor: str, reason: str) -> bool:
    """Let a group be quiet until a time, with an audit row; False where there is none."""
    return await _mark(conn, "mute", fingerprint, actor, reason, until=until)


async def unmute_group(conn: AsyncConnection[Any], fingerprint: str, *, actor: str, reason: str) -> bool:
    """Take that back, with an audit row; False where it was not muted."""
    return await _mark(conn, "unmute", fingerprint, actor, reason)


async def _mark(  # noqa: PLR0913  Who, what, on what, why, and until when.
    conn: AsyncConnection[Any], verb: str, fingerprint: str, actor: str, reason: str, *, until: datetime | None = None
) -> bool:
    reason = redact_text(reason)
    given = {"fingerprint": fingerprint, "actor": actor, "reason": reason, "until": until}
    details = {"until": until.isoformat()} if until else {}
    async with conn.transaction():
        if await (await conn.execute(SQL[f"{verb}_group"], given)).fetchone() is None:
            return False
        await record(
            conn, actor=actor, action=f"failure_group.{verb}", target=fingerprint, reason=reason, details=details
        )
    return True


async def _add_hours(conn: AsyncConnection[Any], groups: Sequence[Row]) -> None:
    hours = {group["fingerprint"]: [0] * HOURS for group in groups}
    for row in await fetch(conn, SQL["list_hours"], {"fingerprints": list(hours), "hours": HOURS}):
        hours[row["fingerprint"]][-1 - row["hours_ago"]] = row["failures"]
    for group in groups:
        group["hours"] = hours[group["fingerprint"]]
