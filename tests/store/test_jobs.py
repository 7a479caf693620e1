"""Reading stays cheap: a page costs what is on it, not what is in the table."""

from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from psycopg import AsyncConnection

from app.store.jobs import LISTING, SQL, JobFilter, list_attempts, list_jobs
from app.store.queues import SQL as SQL_QUEUES
from app.store.queues import list_queues

pytestmark = [pytest.mark.anyio, pytest.mark.matrix]

JOBS = 20_000
LATER = datetime.now(UTC) + timedelta(hours=12)


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
    await conn.execute(
        "INSERT INTO afresh.job_option (job_id, batch_id, correlation_id, metadata, replay_of) "
        "SELECT id, id / 20, 'c' || id, jsonb_build_object('n', id), nullif(id - 1, 0) FROM procrastinate_jobs"
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


async def rows_of_page(conn: AsyncConnection, chosen: JobFilter, before: int | None = None) -> int:
    """How many rows the busiest part of a page looked at."""
    given = chosen.parameters()
    query = LISTING.text(LISTING.page, given)
    return await rows_touched(conn, query, given | {"before": before, "limit": 51, "offset": 0})


@pytest.mark.parametrize("state", [None, "ready", "failed", "cancelled", "succeeded"])
async def test_a_page(crowded: AsyncConnection, state: str | None):
    """A page is found without a walk over the table, also where few jobs are of the state that is asked for."""
    assert await rows_of_page(crowded, JobFilter(state=state)) < JOBS / 20


async def test_a_page_far_down(crowded: AsyncConnection):
    """A page is found without a walk over those before it."""
    assert await rows_of_page(crowded, JobFilter(), before=5000) < JOBS / 20


@pytest.mark.parametrize(
    "chosen",
    [
        JobFilter(batch=7),
        JobFilter(correlation_id="c7"),
        JobFilter(metadata={"n": 700}),
        JobFilter(replay_of=7),
        JobFilter(created_from=LATER),
        JobFilter(created_to=datetime(2020, 1, 1, tzinfo=UTC)),
    ],
    ids=lambda chosen: str({name: value for name, value in asdict(chosen).items() if value}),
)
async def test_a_page_of_few(crowded: AsyncConnection, chosen: JobFilter):
    """What few jobs share leads to them without a walk over the others; times of creation lead to ids."""
    assert await rows_of_page(crowded, chosen) < JOBS / 20


async def test_queues(crowded: AsyncConnection):
    """A queue is described without a walk over the jobs that have ended in it."""
    (queue,) = await list_queues(crowded, name="q")
    assert (queue.ready, queue.is_exact, queue.rate_out > 0) == (JOBS // 100, True, True)
    given: dict[str, Any] = {"names": [], "name": None, "most": 1000, "events": 500}
    assert await rows_touched(crowded, SQL_QUEUES["list_queues"], given) < JOBS / 20


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
