"""What reading about failures costs does not grow with how many there were.

Counted in buffers and not in milliseconds: the same on every machine. Of the attempts the planner has no statistics:
those of a table that grows are old.
"""

import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any, LiteralString

import psycopg
import pytest
from psycopg import AsyncConnection

from app.store import groups
from app.store.failures import SQL, first_hour, fold_failures
from app.store.groups import GroupFilter
from bench import load

from ..servers import Server
from .history import fail

pytestmark = pytest.mark.anyio

FAILURES = 40_000
"""In a thousand groups over a week, as the benchmark has them: 3 500 pages."""

FRESH = 20
"""Of them not folded."""

FEW = 600
"""Pages that a query may touch. Usual are 100 to 300, about half of them of the failures that are not folded."""

DAY, MONTH = 24, 24 * 31


@pytest.fixture(scope="module")
async def filled(anyio_backend: str, server: Server, template: str) -> AsyncIterator[AsyncConnection[Any]]:  # noqa: ARG001 - it makes the fixture async
    """A database with a week of failures, nearly all of them folded, that this module's tests only read."""
    name = f"afresh_failures_{os.getpid()}"
    url = server.create(name, template=template)
    async with await AsyncConnection.connect(url, autocommit=True) as conn:
        await conn.execute("ALTER TABLE afresh.attempt SET (autovacuum_enabled = off)")
        with psycopg.connect(url, autocommit=True) as loading:
            load.failures(loading, FAILURES)
        await fold_failures(conn)
        await conn.execute("VACUUM (ANALYZE) afresh.failure_group")  # As autovacuum does some time later.
        for job_id in range(FRESH):
            await fail(conn, job_id=job_id, fingerprint=f"group{job_id}")
        yield conn
    server.drop(name)


async def buffers(conn: AsyncConnection[Any], query: LiteralString, given: dict[str, Any]) -> int:
    """How many pages a query touches, those of the functions that it calls included."""
    explain: LiteralString = "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) "
    ((found,),) = await (await conn.execute(explain + query, given, prepare=False)).fetchall()
    return int(found[0]["Plan"]["Shared Hit Blocks"] + found[0]["Plan"]["Shared Read Blocks"])


async def of_page(conn: AsyncConnection[Any], order: groups.Order, chosen: GroupFilter, **rest: Any) -> int:
    """Of a page of twenty groups."""
    listing = groups.listing(order)
    given = chosen.parameters() | {"before": None, "before_count": None, "limit": 21, "offset": 0} | rest
    return await buffers(conn, listing.text(listing.page, given), given)


@pytest.mark.parametrize("order", ["last_seen", "count"])
async def test_a_page_of_groups(filled: AsyncConnection[Any], order: groups.Order):
    """A page of groups costs what is on it, and what is not folded; also far down."""
    assert await of_page(filled, order, GroupFilter()) < FEW
    further = {"before": 30_000, "before_count": 50}
    assert await of_page(filled, order, GroupFilter(), **further) < FEW


async def test_the_hours_of_groups(filled: AsyncConnection[Any]):
    """Sparklines of a page are found group by group."""
    given = {"fingerprints": [f"group{number}" for number in range(20)], "hours": 24}
    assert await buffers(filled, groups.SQL["list_hours"], given) < FEW


@pytest.mark.parametrize("query", ["find_group", "list_recent", "count_letters"])
async def test_one_group(filled: AsyncConnection[Any], query: str):
    """One group is found without a walk over its failures, though it is the largest."""
    given = {"fingerprint": "group0", "fingerprints": ["group0"], "limit": groups.RECENT, "most": 10_001}
    assert await buffers(filled, groups.SQL[query], given) < FEW


@pytest.mark.parametrize("query", ["count_types", "tally_failures"])
@pytest.mark.parametrize("hours", [DAY, MONTH])
async def test_types_and_trends(filled: AsyncConnection[Any], query: str, hours: int):
    """Types and trends are read from counts, whatever the time asked for."""
    assert await buffers(filled, SQL[query], {"since": first_hour(datetime.now(UTC), hours)}) < FEW


async def test_folding_nothing(filled: AsyncConnection[Any]):
    """A step of folding with nothing to fold touches next to nothing."""
    await filled.execute(SQL["note_failures"])
    async with filled.transaction(force_rollback=True):
        await filled.execute("SELECT afresh.fold_failures(1000)")
        assert await buffers(filled, "SELECT afresh.fold_failures(%(most)s)", {"most": 1000}) < 100
