"""What lists and counts of dead letters cost does not grow with the letters.

Counted in buffers and not in milliseconds: the same on every machine.
"""

import json
import os
from collections.abc import AsyncIterator, Mapping
from typing import Any, LiteralString

import psycopg
import pytest
from psycopg import AsyncConnection

from app.queue import bulk
from app.store import groups
from app.store.dead_letters import LISTING, PROPERTIES, SQL, LetterFilter, fold_counts

from ..servers import Server

pytestmark = pytest.mark.anyio

LETTERS = 50_000
FILL = f"""
INSERT INTO afresh.dead_letter (
    job_id, status, cause, task_name, queue_name, priority, args, dependency, attempts, failure_type, fingerprint,
    message, remediation, first_died_at, died_at, died_as, replayed_as, bulk_id
)
SELECT n, CASE WHEN n % 1000 = 0 THEN 'pending' ELSE 'resolved' END::afresh.dead_letter_status,
       CASE WHEN n % 1000 = 1 THEN 'worker_lost' ELSE 'retries_spent' END::afresh.death_cause,
       'task ' || n % 200, 'queue ' || n % 200, 5, '{{}}', 'dependency ' || n % 200, 1, 'TYPE ' || n % 200,
       'f' || n % 500, 'no', 'INVESTIGATE', t, t, n, n + 1, CASE WHEN n % 1000 = 2 THEN 1 WHEN n % 2 = 1 THEN 2 END
FROM generate_series(1, {LETTERS}) n, LATERAL (SELECT now() - make_interval(mins => {LETTERS} - n)) AS at (t)
"""  # noqa: S608 - a constant of ours.

ENOUGH = 700
"""Buffers for a page of 100 and its count, wherever the letters lie. To read all letters takes 2 500."""

FILTERS = {
    "everything": LetterFilter(),
    "a rare status": LetterFilter(status="pending"),
    "a task": LetterFilter(task_name="task 7"),
    "a queue": LetterFilter(queue="queue 7"),
    "a type": LetterFilter(failure_type="TYPE 7"),
    "a group": LetterFilter(group="f7"),
    "a dependency": LetterFilter(dependency="dependency 7", tasks_of_dependency=("task 9",)),
    "a rare cause": LetterFilter(cause="worker_lost"),
    "a bulk action": LetterFilter(bulk=1),
    "nothing": LetterFilter(task_name="no such task"),
}


@pytest.fixture(scope="module")
async def letters(anyio_backend: str, server: Server, template: str) -> AsyncIterator[AsyncConnection]:  # noqa: ARG001 - it makes the fixture async
    """A connection to a database with many dead letters, most of them resolved."""
    name = f"afresh_letters_{os.getpid()}"
    async with await psycopg.AsyncConnection.connect(server.create(name, template=template), autocommit=True) as conn:
        await conn.execute(FILL)
        await fold_counts(conn)
        await conn.execute("VACUUM ANALYZE afresh.dead_letter")
        await conn.execute("VACUUM ANALYZE afresh.dead_letter_count")
        yield conn
    server.drop(name)


async def buffers(conn: AsyncConnection, query: LiteralString, given: Mapping[str, Any]) -> int:
    """Buffers that a query touches."""
    cursor = await conn.execute(b"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) " + query.encode(), given, prepare=False)
    row = await cursor.fetchone()
    assert row is not None
    (found,) = json.loads(row[0]) if isinstance(row[0], str) else row[0]
    return int(found["Plan"]["Shared Hit Blocks"] + found["Plan"]["Shared Read Blocks"])


@pytest.mark.parametrize("name", FILTERS)
async def test_a_page(letters: AsyncConnection, name: str):
    """A page costs no more for what is rare, or not there at all, than for what is everywhere."""
    given = FILTERS[name].parameters()
    page = {**given, "before": None, "limit": 101, "offset": 0}
    assert await buffers(letters, LISTING.text(LISTING.page, given), page) < ENOUGH
    most = 10_001 if name == "everything" else 1_000_000
    assert await buffers(letters, LISTING.text(LISTING.count, given), {**given, "most": most}) < ENOUGH


@pytest.mark.parametrize("name", PROPERTIES)
async def test_counts(letters: AsyncConnection, name: str):
    """Counting by any property reads the sums, and never the letters."""
    query = SQL["sum_letters"].replace("/* property */", PROPERTIES[name])
    assert await buffers(letters, query, {"since": None}) < ENOUGH
    cursor = await letters.execute(query, {"since": None})
    assert sum(row[2] for row in await cursor.fetchall()) == LETTERS


async def test_the_oldest(letters: AsyncConnection):
    """The oldest pending letter is found at once."""
    assert await buffers(letters, SQL["find_oldest"], {}) < 10


async def test_what_waits_of_a_group(letters: AsyncConnection):
    """What waits of a group is counted without a walk over what waits no more."""
    given = {"fingerprints": ["f7"], "most": 10_001}
    assert await buffers(letters, groups.SQL["count_letters"], given) < 10


async def test_a_preview(letters: AsyncConnection):
    """What a preview tells besides the count costs no second look at the letters."""
    given = LetterFilter(text="NO").parameters()
    counted = await buffers(letters, LISTING.text(bulk.SQL["count_matching"], given), given)
    previewed = await buffers(letters, LISTING.text(bulk.SQL["preview_matching"], given), {**given, "most": 10})
    assert 0 < counted <= previewed < 1.5 * counted


async def test_a_look_at_a_bulk_action(letters: AsyncConnection):
    """Whether the jobs of an action fail again costs the same for its 25,000 letters as for a few hundred."""
    given = {"bulk_id": 2, "judged": bulk.JUDGED, "most": bulk.LOOKED_AT}
    assert await buffers(letters, bulk.SQL["judge_bulk"], given) < 50
