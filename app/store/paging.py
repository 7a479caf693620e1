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

SEARCHED = 5_000
"""Rows that a filter without an index looks at for one page. The next page goes on behind them."""

FILTERS: LiteralString = "/* filters */"
"""Where conditions go in the text of a query, after a condition that is always there."""

SEARCHES: LiteralString = "/* searched */"
"""Likewise, where conditions go that no index serves."""

FEW = 1_000
"""Rows that are sorted for a page. Where there are more, the planner may as well walk through the list in its order."""

SORTED: LiteralString = "/* few */"
"""Where a page's order is hidden from the planner if few rows fit: it would look for them among all there are."""

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
        total_is_exact: False: `total` is an estimate, and more than `COUNTED_EXACTLY`; or in a search, there are at
            least so many.
        next_before: Ask for the rows before this one to go on; None at the end. A search may have found less than a
            page, or nothing, in what it has looked at, and still go on.
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
        search: Takes ``before`` and ``searched`` besides the filters; returns ``looked_at``, ``last`` and ``found``.
        searched: Filters that no index serves, and whether the planner can judge them.
        found: The condition for the rows of the ids ``found``.
    """

    key: str
    page: LiteralString
    count: LiteralString
    estimate: LiteralString
    conditions: Mapping[str, LiteralString]
    rough: Mapping[str, LiteralString] = field(default_factory=dict)
    search: LiteralString = ""
    searched: Mapping[str, bool] = field(default_factory=dict)
    found: LiteralString = ""

    def is_search(self, chosen: Mapping[str, Any]) -> bool:
        """Whether a filter is set that no index serves."""
        return any(chosen.get(name) is not None for name in self.searched)

    def text(self, query: LiteralString, chosen: Mapping[str, Any]) -> LiteralString:
        """`query` with the conditions of the filters that are set."""
        conditions = {**self.conditions, **self.rough} if query is self.estimate else self.conditions
        wanted = {name: f"AND ({text})\n" for name, text in conditions.items() if chosen.get(name) is not None}
        dear: LiteralString = "".join(
            wanted.pop(name) for name in self.searched if name in wanted and query is self.search
        )
        return query.replace(SEARCHES, dear).replace(FILTERS, "".join(wanted.values()))


def containing(text: str) -> str:
    r"""The pattern by which LIKE finds what has `text` in it, literally: ``50%`` becomes ``%50\%%``."""
    escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%"


async def fetch_page(conn: AsyncConnection[Any], listing: Listing, chosen: Mapping[str, Any], part: Part) -> Page:
    """Return one page and the total of what the filters let through. Filters that are None let everything through."""
    if listing.is_search(chosen):
        return await _search_page(conn, listing, chosen, part)
    total, exact = await fetch_total(conn, listing, chosen)
    if total == 0:
        return Page([], total, exact, None)
    given = {**chosen, "before": part.before, "limit": part.limit + 1, "offset": part.offset}
    query = listing.text(listing.page, chosen)
    items = await fetch(conn, query.replace(SORTED, "+ 0") if total <= FEW else query, given)
    more = len(items) > part.limit
    items = items[: part.limit]
    return Page(items, total, exact, items[-1][listing.key] if more else None)


async def fetch_total(conn: AsyncConnection[Any], listing: Listing, chosen: Mapping[str, Any]) -> tuple[int, bool]:
    """How many rows the filters let through, and whether that is exact."""
    if listing.is_search(chosen):
        return await _search_total(conn, listing, chosen, await _search(conn, listing, chosen))
    given = {**chosen, "most": COUNTED_EXACTLY + 1}
    (counted,) = await fetch(conn, listing.text(listing.count, chosen), given)
    if counted["total"] <= COUNTED_EXACTLY:
        return counted["total"], True
    return max(await _estimate(conn, listing, chosen), counted["total"]), False


async def _estimate(conn: AsyncConnection[Any], listing: Listing, chosen: Mapping[str, Any]) -> int:
    (explained,) = await fetch(conn, listing.text(listing.estimate, chosen), dict(chosen))
    (plan,) = explained["QUERY PLAN"]
    return int(plan["Plan"]["Plan Rows"])


async def _search(
    conn: AsyncConnection[Any], listing: Listing, chosen: Mapping[str, Any], before: int | None = None
) -> Row:
    given = {**chosen, "before": before, "searched": SEARCHED}
    (searched,) = await fetch(conn, listing.text(listing.search, chosen), given)
    return searched


async def _search_page(conn: AsyncConnection[Any], listing: Listing, chosen: Mapping[str, Any], part: Part) -> Page:
    searched = await _search(conn, listing, chosen, part.before)
    from_the_top = searched if part.before is None else await _search(conn, listing, chosen)
    found = searched["found"][part.offset :]
    shown = found[: part.limit]
    given = {"found": shown, "before": None, "limit": part.limit, "offset": 0}
    items = await fetch(conn, listing.page.replace(FILTERS, f"AND {listing.found}"), given)
    going_on = searched["last"] if searched["looked_at"] == SEARCHED else None
    total, exact = await _search_total(conn, listing, chosen, from_the_top)
    return Page(items, total, exact, shown[-1] if len(found) > part.limit else going_on)


async def _search_total(
    conn: AsyncConnection[Any], listing: Listing, chosen: Mapping[str, Any], searched: Row
) -> tuple[int, bool]:
    found = len(searched["found"])
    if searched["looked_at"] < SEARCHED:
        return found, True
    judged = all(listing.searched.get(name, True) for name, value in chosen.items() if value is not None)
    return max(found, await _estimate(conn, listing, chosen) if judged else 0), False


async def fetch(conn: AsyncConnection[Any], query: LiteralString, parameters: Mapping[str, Any]) -> list[Row]:
    """Run a query, planned for these very parameters, and return its rows by column name."""
    async with conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(query, parameters, prepare=False)
        return await cursor.fetchall()
