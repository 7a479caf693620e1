"""One way to show a part of many rows: filtered, newest first, with a total. Never changes anything.

A list is three queries that have the same filters: its page, its count up to a limit, and its estimate. Only the
conditions that are asked for are sent, so that a filter that is not set costs nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, LiteralString

from psycopg import AsyncConnection
from psycopg.rows import dict_row

COUNTED_EXACTLY = 10_000
"""Rows that are counted one by one; beyond, the planner's estimate has to do."""

FILTERS: LiteralString = "/* filters */"
"""Where conditions go in the text of a query, after a condition that is always there."""

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Part:
    """Which part of a list: at most `limit` rows, older than `before`, after skipping `offset` of them."""

    limit: int
    before: int | None = None
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Page:
    """Some of the rows that a filter lets through, newest first.

    Attributes:
        total: How many there are in all.
        total_is_exact: False: `total` is an estimate, and more than `COUNTED_EXACTLY`.
        next_before: Ask for the rows before this one to go on; None at the end.
    """

    items: list[Row]
    total: int
    total_is_exact: bool
    next_before: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """A list.

    Attributes:
        key: The column of a row that a page goes on from, an id that grows.
        page: Takes ``before``, ``limit`` and ``offset`` besides the filters.
        count: Takes ``most`` besides the filters, and returns ``total``.
        estimate: An EXPLAIN (FORMAT JSON) with the filters, or none of them.
        conditions: By the name of its filter, whose value is a parameter of the same name.
        rough: In place of conditions that the planner cannot judge, for the estimate.
    """

    key: str
    page: LiteralString
    count: LiteralString
    estimate: LiteralString
    conditions: Mapping[str, LiteralString]
    rough: Mapping[str, LiteralString] = field(default_factory=dict)

    def text(self, query: LiteralString, chosen: Mapping[str, Any]) -> LiteralString:
        """`query` with the conditions of the filters that are set."""
        conditions = {**self.conditions, **self.rough} if query is self.estimate else self.conditions
        wanted = [condition for name, condition in conditions.items() if chosen.get(name) is not None]
        return query.replace(FILTERS, "".join(f"AND ({condition})\n" for condition in wanted))


async def fetch_page(conn: AsyncConnection[Any], listing: Listing, chosen: Mapping[str, Any], part: Part) -> Page:
    """Return one page and the total of what the filters let through. Filters that are None let everything through."""
    given = {**chosen, "before": part.before, "limit": part.limit + 1, "offset": part.offset}
    items = await fetch(conn, listing.text(listing.page, chosen), given)
    total, exact = await fetch_total(conn, listing, chosen)
    more = len(items) > part.limit
    items = items[: part.limit]
    return Page(items, total, exact, items[-1][listing.key] if more else None)


async def fetch_total(conn: AsyncConnection[Any], listing: Listing, chosen: Mapping[str, Any]) -> tuple[int, bool]:
    """How many rows the filters let through, and whether that is exact."""
    given = {**chosen, "most": COUNTED_EXACTLY + 1}
    (counted,) = await fetch(conn, listing.text(listing.count, chosen), given)
    if counted["total"] <= COUNTED_EXACTLY:
        return counted["total"], True
    (explained,) = await fetch(conn, listing.text(listing.estimate, chosen), dict(chosen))
    (plan,) = explained["QUERY PLAN"]
    return max(int(plan["Plan"]["Plan Rows"]), counted["total"]), False


async def fetch(conn: AsyncConnection[Any], query: LiteralString, parameters: Mapping[str, Any]) -> list[Row]:
    """Run a query, planned for these very parameters, and return its rows by column name."""
    async with conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(query, parameters, prepare=False)
        return await cursor.fetchall()
