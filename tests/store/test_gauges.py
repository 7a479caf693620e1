"""The one statement behind the gauges: what it says, and that it costs the same whatever waits."""

import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from psycopg import AsyncConnection

from app.store.failures import fold_failures
from app.store.gauges import SQL, count_restless_groups, read_gauges

from ..servers import Server
from .test_dead_letter_cost import buffers

pytestmark = [pytest.mark.anyio, pytest.mark.matrix]

STALLED = timedelta(seconds=30)
MOST = 2_000
ENOUGH = 10_000
"""Buffers where 20 000 jobs are ready, as many held, and as many for tomorrow, of which 9 000 are counted; usual are
4 000. To count all of them takes 40 000."""

ENOUGH_FOR_GROUPS = 1_500
"""Buffers where 50 000 groups are known and 20 000 failures are not folded, of which 100 are looked at; usual are 700.
To read all groups takes 950 more, all failures 60 000."""

JOBS = """
    INSERT INTO procrastinate_jobs (queue_name, task_name, priority, scheduled_at, lock, afresh_dependency)
    SELECT 'q' || n %% 4, 't' || n %% 3, n %% 2, {at}, CASE WHEN n %% 50 = 0 THEN 'l' || n END, {on}
    FROM generate_series(1, %(count)s) n
"""


GROUPS = """
    INSERT INTO afresh.failure_group (
        fingerprint, failures, deaths, first_seen, last_seen, last_attempt, failure_type, tasks, dependencies
    )
    SELECT 'old' || n, 1, 0, now() - interval '9 days', now() - interval '1 day' - n * interval '1 s', n, 'UNKNOWN',
           '{t}', '{""}'
    FROM generate_series(1, %s) n
"""
FAILURES = """
    INSERT INTO afresh.attempt (
        job_id, attempt, outcome, counted, task_name, queue_name, started_at, ended_at, exception_type, message,
        failure_type, confidence, remediation, fingerprint, decision, delay, next_run_at, reason
    )
    SELECT n, 1, 'failed', true, 't', 'q0', now(), now(), 'E', 'no', 'UNKNOWN', 0.5, 'INVESTIGATE', 'fresh' || n %% 50,
           'retry', interval '1 s', now(), 'why'
    FROM generate_series(1, %s) n
"""


async def put(conn: AsyncConnection, count: int, at: str = "NULL::timestamptz", on: str = "NULL::text") -> None:
    """Put jobs into the queues q0 to q3."""
    await conn.execute(JOBS.format(at=at, on=on).encode(), {"count": count})


async def told(conn: AsyncConnection, most: int = 20_000) -> dict[tuple[str, str, str], float]:
    """The gauges, where only q0 and q1, and the dependency `known`, are told by name."""
    read = await read_gauges(conn, queues=["q0", "q1"], dependencies=["known"], stalled_after=STALLED, most=most)
    assert len({(each.gauge, each.name, each.state) for each in read}) == len(read)
    return {(each.gauge, each.name, each.state): each.value for each in read}


async def test_depths(conn: AsyncConnection):
    """Ready, held and later jobs are counted by queue; queues that are not known together."""
    await put(conn, 40)
    await put(conn, 8, at="now() - interval '1 minute'")
    await put(conn, 4, at="now() + interval '1 day'")
    await put(conn, 20, on="'known'")
    await conn.execute("INSERT INTO afresh.hold VALUES ('dependency', 'known', 'down', 'breaker', now(), 1)")
    found = await told(conn)
    assert {key[1]: value for key, value in found.items() if key[0] == "ready"} == {"q0": 12, "q1": 12, "other": 24}
    assert {key[1]: value for key, value in found.items() if key[0] == "later"} == {"q0": 1, "q1": 1, "other": 2}
    assert {key[1]: value for key, value in found.items() if key[0] == "held"} == {"q0": 5, "q1": 5, "other": 10}
    assert 59 < found["oldest_ready", "q0", ""] < 120


async def test_pause(conn: AsyncConnection):
    """The jobs of a paused queue are held, and none of them is the oldest that is ready."""
    await put(conn, 40)
    await conn.execute("INSERT INTO afresh.hold VALUES ('queue', 'q0', 'maintenance', 'test')")
    found = await told(conn)
    assert (found["ready", "q0", ""], found["held", "q0", ""], found["paused", "q0", ""]) == (0, 10, 1)
    assert ("oldest_ready", "q0", "") not in found


async def test_a_task_s_dependency(conn: AsyncConnection):
    """A job that names no dependency is held with its task's."""
    await conn.execute("INSERT INTO afresh.task_dependency VALUES ('t1', 'known')")
    await conn.execute("INSERT INTO afresh.hold VALUES ('dependency', 'known', 'down', 'breaker', now(), 1)")
    await put(conn, 12)
    found = await told(conn)
    assert sum(value for key, value in found.items() if key[0] == "held") == 4


async def test_breakers_and_letters(conn: AsyncConnection):
    """Breakers are told by state, those of no task together and only where they are not closed; letters by status."""
    await conn.execute(
        "INSERT INTO afresh.breaker (name, state, generation, changed_at, until, probe_at, permits)"
        " SELECT name, 'open', 1, now(), now(), now(), '[]' FROM (VALUES ('known'), ('x'), ('y')) v (name)"
    )
    await conn.execute("INSERT INTO afresh.breaker (name) VALUES ('z')")
    await conn.execute(
        "INSERT INTO afresh.dead_letter (job_id, cause, task_name, queue_name, priority, args, attempts, fingerprint,"
        " first_died_at, died_at, died_as) SELECT n, 'permanent', 't', 'q', 0, '{}', 1, 'f', now(), now(), n"
        " FROM generate_series(1, 7) n"
    )
    found = await told(conn)
    assert {key: value for key, value in found.items() if key[0] == "breakers"} == {
        ("breakers", "known", "open"): 1,
        ("breakers", "other", "open"): 2,
    }
    assert found["dead_letters", "", "pending"] == 7


async def test_workers(conn: AsyncConnection):
    """Workers are alive, or silent while they hold jobs; one that is gone and holds none is nobody."""
    for age in (0, 3600, 3600):
        await conn.execute(
            "INSERT INTO procrastinate_workers (last_heartbeat) VALUES (now() - %s * interval '1 s')", [age]
        )
    await put(conn, 1)
    await conn.execute(
        "UPDATE procrastinate_jobs SET status = 'doing', worker_id = (SELECT max(id) FROM procrastinate_workers)"
    )
    found = await told(conn)
    assert (found["workers", "", "alive"], found["workers", "", "silent"]) == (1, 1)
    assert found["running", "q1", ""] == 1


async def test_counted_up_to_a_limit(conn: AsyncConnection):
    """Each queue is counted up to its share, and at least to a thousand."""
    await put(conn, 12_000)
    found = await told(conn, most=6_000)
    assert {key[1]: value for key, value in found.items() if key[0] == "ready"} == {
        "q0": 2_000,
        "q1": 2_000,
        "other": 2_000,
    }
    assert (await told(conn, most=1))["ready", "q0", ""] == 1_000


async def restless(conn: AsyncConnection, most: int = 10_000) -> dict[str, int]:
    """Failure groups that are new or have come back within the hour."""
    hour_ago = datetime.now(UTC) - timedelta(hours=1)
    return await count_restless_groups(conn, new_since=hour_ago, quiet_since=hour_ago, most=most)


async def test_restless_groups(conn: AsyncConnection):
    """Groups are told that began to fail, or came back, within the hour; folded or not, up to a number of failures."""
    assert await restless(conn) == {}
    await conn.execute(GROUPS, [3])
    await conn.execute(FAILURES, [100])
    assert await restless(conn) == {"new": 50}
    assert await restless(conn, most=10) == {"new": 10}
    await fold_failures(conn)
    assert await restless(conn, most=1) == {"new": 50}
    await conn.execute(
        "INSERT INTO afresh.failure_mark (fingerprint, resolved_attempt, resolved_at, resolved_by, resolved_because)"
        " VALUES ('fresh1', 0, now(), 'me', 'why'), ('fresh2', 1000000, now(), 'me', 'why')"
    )
    assert await restless(conn) == {"new": 48, "regression": 1}


@pytest.fixture(scope="module", params=["analyzed while empty", "never analyzed"])
async def crowded(request: Any, anyio_backend: str, server: Server, template: str) -> AsyncIterator[AsyncConnection]:  # noqa: ARG001 - it makes the fixture async
    """A session that planned its statements while the database was empty; then it filled up. Tests only read."""
    name = f"afresh_gauges_{os.getpid()}"
    async with await psycopg.AsyncConnection.connect(server.create(name, template=template), autocommit=True) as conn:
        if request.param != "never analyzed":
            await conn.execute("ANALYZE")
        await told(conn)
        await restless(conn)
        async with await psycopg.AsyncConnection.connect(server.filler(name), autocommit=True) as filler:
            await put(filler, 20_000)
            await put(filler, 20_000, at="now() + interval '1 day'")
            await put(filler, 20_000, on="'known'")
            await filler.execute("INSERT INTO afresh.hold VALUES ('dependency', 'known', 'down', 'breaker', now(), 1)")
            await filler.execute(GROUPS, [50_000])
            await filler.execute(FAILURES, [20_000])
        await conn.execute("SET default_transaction_read_only = on")
        yield conn
    server.drop(name)


async def test_cost_of_groups(crowded: AsyncConnection):
    """Neither groups that have been quiet nor failures beyond a number cost anything."""
    hour_ago = datetime.now(UTC) - timedelta(hours=1)
    given = {"new_since": hour_ago, "quiet_since": hour_ago, "most": 100}
    assert await buffers(crowded, SQL["count_restless_groups"], given) < ENOUGH_FOR_GROUPS
    assert await restless(crowded) == {"new": 50}


async def test_cost(crowded: AsyncConnection):
    """What waits costs no more than is counted of it, with plans of an empty database too."""
    given = {"queues": ["q0", "q1"], "dependencies": ["known"], "stalled_after": STALLED, "most": MOST}
    assert await buffers(crowded, SQL["read_gauges"], given) < ENOUGH
