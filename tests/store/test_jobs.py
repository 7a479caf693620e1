"""Reading stays cheap: a page costs what is on it, not what is in the table."""

from collections.abc import Iterator
from typing import Any

import pytest
from psycopg import AsyncConnection

from app.store.jobs import SQL, JobFilter, list_attempts, list_jobs

pytestmark = pytest.mark.anyio

JOBS = 20_000


@pytest.fixture
async def crowded(conn: AsyncConnection) -> AsyncConnection:
    """A database where 1 job in 100 waits, 1 in 1,000 failed, none is cancelled, and all others succeeded."""
    await conn.execute("ALTER TABLE procrastinate_jobs DISABLE TRIGGER USER")
    await conn.execute(
        "INSERT INTO procrastinate_jobs (queue_name, task_name, attempts, status) SELECT 'q', 't', 1, CASE "
        "WHEN i %% 1000 = 0 THEN 'failed' WHEN i %% 100 = 1 THEN 'todo' ELSE 'succeeded' "
        "END::procrastinate_job_status FROM generate_series(1, %s) i",
        [JOBS],
    )
    await conn.execute(
        "INSERT INTO procrastinate_events (job_id, type) SELECT id, t::procrastinate_job_event_type "
        "FROM procrastinate_jobs, unnest(ARRAY['deferred', 'started', 'succeeded']) t"
    )
    await conn.execute("ANALYZE")
    return conn


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A plan's nodes."""
    yield plan
    for child in plan.get("Plans", []):
        yield from nodes(child)


async def rows_touched(conn: AsyncConnection, query: str, parameters: dict[str, Any]) -> int:
    """How many rows the busiest part of a query looked at."""
    text = f"EXPLAIN (ANALYZE, FORMAT JSON) {query}"
    cursor = await conn.execute(text, parameters, prepare=False)
    ((found,),) = await cursor.fetchall()
    return max(
        int((node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"])
        for node in nodes(found[0]["Plan"])
    )


EVERYTHING = {"status": None, "task_name": None, "queue": None, "state": None, "before": None, "limit": 51, "offset": 0}


@pytest.mark.parametrize(
    "chosen",
    [{}, {"state": "ready"}, {"state": "failed"}, {"state": "cancelled"}, {"state": "succeeded"}, {"before": 5000}],
    ids=str,
)
async def test_a_page(crowded: AsyncConnection, chosen: dict[str, Any]):
    """A page is found without a walk over the table, also where few jobs are of the state that is asked for."""
    assert await rows_touched(crowded, SQL["list_jobs"], EVERYTHING | chosen) < JOBS / 20


async def test_attempts(crowded: AsyncConnection):
    """The attempts of a page of jobs are found without a walk over all events."""
    ids = list(range(JOBS - 50, JOBS))
    assert await rows_touched(crowded, SQL["list_attempts"], {"job_ids": ids}) < JOBS / 20
    found = await list_attempts(crowded, ids)
    assert sorted(found) == ids


async def test_totals(crowded: AsyncConnection):
    """Few jobs are counted, many are estimated."""
    failed = await list_jobs(crowded, JobFilter(state="failed"), limit=1)
    assert (failed.total, failed.total_is_exact) == (JOBS // 1000, True)
    succeeded = await list_jobs(crowded, JobFilter(state="succeeded"), limit=1)
    assert not succeeded.total_is_exact
    assert abs(succeeded.total - JOBS) < JOBS / 10
