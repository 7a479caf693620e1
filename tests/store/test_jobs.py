"""Reading stays cheap: a page costs what is on it, not what is in the table."""

import itertools
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import psycopg
import pytest
from psycopg import AsyncConnection

from app.store.batches import SQL as SQL_BATCHES
from app.store.jobs import LISTING, SQL, JobFilter, list_attempts, list_jobs
from app.store.paging import SEARCHED, SORTED
from app.store.queues import SQL as SQL_QUEUES
from app.store.queues import list_queues

from ..servers import Server

pytestmark = [pytest.mark.anyio, pytest.mark.matrix]

JOBS = 20_000
LATER = datetime(2100, 1, 1, tzinfo=UTC)


_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def filled(server: Server, template: str) -> Iterator[str]:
    """A database to copy where 1 job in 100 waits, 1 in 1,000 failed, none is cancelled, and all others succeeded.

    They came at once: the planner knows nothing of them yet.
    """
    name = f"afresh_jobs_{os.getpid()}"
    with psycopg.connect(server.create(name, template=template), autocommit=True) as conn:
        for table in ("procrastinate_jobs", "procrastinate_events", "afresh.job_option"):
            conn.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = off)")
        conn.execute("ALTER TABLE procrastinate_jobs DISABLE TRIGGER USER")
        conn.execute(
            "INSERT INTO procrastinate_jobs (queue_name, task_name, attempts, status) SELECT 'q', 't', 1, CASE "
            "WHEN i %% 1000 = 0 THEN 'failed' WHEN i %% 100 = 1 THEN 'todo' ELSE 'succeeded' "
            "END::procrastinate_job_status FROM generate_series(1, %s) i",
            [JOBS],
        )
        conn.execute(
            "INSERT INTO procrastinate_events (job_id, type) SELECT id, t::procrastinate_job_event_type "
            "FROM procrastinate_jobs, unnest(ARRAY['deferred', 'started', 'succeeded']) t"
        )
        conn.execute(
            "INSERT INTO afresh.job_option (job_id, batch_id, correlation_id, metadata, replay_of) "
            "SELECT id, id / 20, 'c' || id, jsonb_build_object('n', id), nullif(id - 1, 0) FROM procrastinate_jobs"
        )
    yield name
    server.drop(name)


@asynccontextmanager
async def copied(server: Server, filled: str) -> AsyncIterator[AsyncConnection]:
    """A connection to a copy of it."""
    name = f"{filled}_{next(_numbers)}"
    async with await AsyncConnection.connect(server.create(name, template=filled), autocommit=True) as conn:
        yield conn
    server.drop(name)


@pytest.fixture(scope="module")
async def loaded(anyio_backend: str, server: Server, filled: str) -> AsyncIterator[AsyncConnection]:  # noqa: ARG001 - it makes the fixture async
    """A copy that the tests only read."""
    async with copied(server, filled) as conn:
        await conn.execute("SET default_transaction_read_only = on")
        yield conn


@pytest.fixture(scope="module")
async def crowded(anyio_backend: str, server: Server, filled: str) -> AsyncIterator[AsyncConnection]:  # noqa: ARG001 - as above
    """The same a minute later."""
    async with copied(server, filled) as conn:
        await conn.execute("ANALYZE")
        await conn.execute("SET default_transaction_read_only = on")
        yield conn


@pytest.fixture
async def own(anyio_backend: str, server: Server, filled: str) -> AsyncIterator[AsyncConnection]:  # noqa: ARG001 - as above
    """As `crowded`, for a test that writes."""
    async with copied(server, filled) as conn:
        await conn.execute("ANALYZE")
        yield conn


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


@pytest.mark.parametrize("without_own", [None, True])
@pytest.mark.parametrize("state", [None, "ready", "failed", "cancelled", "succeeded"])
async def test_a_page(crowded: AsyncConnection, state: str | None, without_own: Literal[True] | None):
    """A page is found without a walk over the table, also where few jobs are of the state that is asked for."""
    assert await rows_of_page(crowded, JobFilter(state=state, without_own=without_own)) < JOBS / 20


async def test_a_page_without_own(own: AsyncConnection):
    """What the clock has made for the service itself costs a page one look at each of those that are newer."""
    await own.execute("ALTER TABLE procrastinate_jobs DISABLE TRIGGER USER")
    await own.execute(
        "INSERT INTO procrastinate_jobs (queue_name, task_name, status, attempts)"
        " SELECT 'monitoring', 'app.tasks.monitoring.evaluate_alerts', 'succeeded', 1 FROM generate_series(1, 2000)"
    )
    await own.execute("ANALYZE procrastinate_jobs")
    chosen = JobFilter(without_own=True)
    assert await rows_of_page(own, chosen) <= 2051
    assert [row["job_id"] for row in (await list_jobs(own, chosen, limit=2)).items] == [JOBS, JOBS - 1]


@pytest.mark.parametrize(
    "chosen",
    [
        JobFilter(),
        JobFilter(state="failed"),
        JobFilter(state="retrying"),
        JobFilter(without_own=True),
        JobFilter(created_from=LATER),
        JobFilter(created_to=datetime(2020, 1, 1, tzinfo=UTC)),
    ],
    ids=lambda chosen: str({name: value for name, value in asdict(chosen).items() if value}),
)
async def test_a_page_without_statistics(loaded: AsyncConnection, chosen: JobFilter):
    """A page is found without a walk over the table or its events also where the planner has to guess."""
    assert await rows_of_page(loaded, chosen) < JOBS / 20


async def test_few_of_a_queue(own: AsyncConnection):
    """Few jobs of a queue are found without a walk over those that wait in others; none, without a page."""
    await own.execute("UPDATE procrastinate_jobs SET queue_name = 'r' WHERE id IN (1, 1001)")
    chosen = JobFilter(state="ready", queue="r")
    given = chosen.parameters()
    query = LISTING.text(LISTING.page, given).replace(SORTED, "+ 0")
    assert await rows_touched(own, query, given | {"before": None, "limit": 51, "offset": 0}) <= JOBS / 200
    page = await list_jobs(own, chosen, limit=10)
    assert ([row["job_id"] for row in page.items], page.total) == ([1001, 1], 2)


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


@pytest.mark.parametrize(
    "chosen",
    [
        JobFilter(text="nothing of the kind"),
        JobFilter(task_name="none"),
        JobFilter(task_type="none"),
        JobFilter(scheduled_from=LATER),
        JobFilter(ended_from=LATER),
        JobFilter(ended_to=LATER),
    ],
    ids=lambda chosen: str({name: value for name, value in asdict(chosen).items() if value}),
)
async def test_a_search(crowded: AsyncConnection, chosen: JobFilter):
    """What no index knows is looked for among so many jobs at a time, however many there are."""
    given = chosen.parameters() | {"before": None, "searched": SEARCHED}
    assert await rows_touched(crowded, LISTING.text(LISTING.search, given), given) <= 3 * SEARCHED  # Events each.


async def test_a_search_goes_on(crowded: AsyncConnection):
    """A page of a search may be empty; those behind it lead to the job, and to the end."""
    chosen = JobFilter(text="C7000")
    pages = [await list_jobs(crowded, chosen, limit=10)]
    while pages[-1].next_before:
        pages.append(await list_jobs(crowded, chosen, limit=10, before=pages[-1].next_before))
    assert [[row["correlation_id"] for row in page.items] for page in pages] == [[], [], ["c7000"], [], []]
    assert not pages[0].total_is_exact
    assert (await list_jobs(crowded, JobFilter(text="C7000", state="failed"), limit=10)).total_is_exact


async def test_a_search_by_offset(crowded: AsyncConnection):
    """Within what a page looks at, an offset skips what was found; what is left of it comes next."""
    chosen = JobFilter(text="c199")
    first = await list_jobs(crowded, chosen, limit=60)
    second = await list_jobs(crowded, chosen, limit=60, offset=60)
    following = await list_jobs(crowded, chosen, limit=60, before=first.next_before)
    assert first.total == 100
    assert [row["job_id"] for row in second.items] == [row["job_id"] for row in following.items]
    assert len({row["job_id"] for row in first.items + second.items}) == 100


async def test_jobs_that_ended_long_ago(own: AsyncConnection):
    """A search for what ended before some time begins with the jobs that were made by then."""
    await own.execute("UPDATE procrastinate_events SET at = at - interval '9 days' WHERE job_id <= 100")
    chosen = JobFilter(ended_to=datetime.now(UTC) - timedelta(days=8))
    page = await list_jobs(own, chosen, limit=3)
    assert ([row["job_id"] for row in page.items], page.total, page.total_is_exact) == ([100, 99, 98], 100, True)


async def test_a_batch(own: AsyncConnection):
    """A batch is described without a walk over the jobs of others."""
    await own.execute("INSERT INTO afresh.batch (id, task_name, total, created_by) VALUES (7, 't', 20, 'test')")
    assert await rows_touched(own, SQL_BATCHES["find_batch"], {"batch_id": 7}) < JOBS / 20


async def test_queues(crowded: AsyncConnection):
    """A queue is described without a walk over the jobs that have ended in it."""
    (queue,) = await list_queues(crowded, name="q")
    assert (queue.ready, queue.is_exact, queue.rate_out > 0) == (JOBS // 100, True, True)
    given: dict[str, Any] = {"names": [], "name": None, "most": 1000, "closely": 100, "events": 500}
    assert await rows_touched(crowded, SQL_QUEUES["list_queues"], given) < JOBS / 20


async def test_attempts(crowded: AsyncConnection):
    """The attempts of a page of jobs are found without a walk over all events."""
    ids = list(range(JOBS - 50, JOBS))
    assert await rows_touched(crowded, SQL["list_attempts"], {"job_ids": ids, "most": None}) < JOBS / 20
    found = await list_attempts(crowded, ids)
    assert sorted(found) == ids


async def test_totals(crowded: AsyncConnection):
    """Few jobs are counted, many are estimated."""
    failed = await list_jobs(crowded, JobFilter(state="failed"), limit=1)
    assert (failed.total, failed.total_is_exact) == (JOBS // 1000, True)
    succeeded = await list_jobs(crowded, JobFilter(state="succeeded"), limit=1)
    assert not succeeded.total_is_exact
    assert abs(succeeded.total - JOBS) < JOBS / 10
