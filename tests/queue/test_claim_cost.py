"""What a claim costs does not grow with what lies in front of the jobs that can run.

Counted in buffers and not in milliseconds: the same on every machine. EXPLAIN of a call counts what the statements
inside the function touch.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from ..servers import Server

pytestmark = pytest.mark.matrix

FRONTS = {
    "future": """
        INSERT INTO procrastinate_jobs (task_name, queue_name, priority, scheduled_at)
        SELECT 't', 'q', 9, now() + interval '1 day' + make_interval(secs => n) FROM generate_series(1, 50000) n
    """,
    "future locks": """
        INSERT INTO procrastinate_jobs (task_name, queue_name, priority, lock, scheduled_at)
        SELECT 't', 'q', 9, 'l' || n, now() + interval '1 day' FROM generate_series(1, 20000) n
    """,
    "paused": """
        INSERT INTO procrastinate_jobs (task_name, queue_name, priority)
        SELECT 't', 'paused', 9 FROM generate_series(1, 50000) n
    """,
    "open": """
        INSERT INTO afresh.hold (kind, name, reason, held_by, generation)
        VALUES ('dependency', 'down', 'why', 'breaker', 1);
        INSERT INTO procrastinate_jobs (task_name, queue_name, priority, afresh_dependency, scheduled_at)
        SELECT 't', 'q', 9, 'down', CASE WHEN n % 2 = 0 THEN now() - interval '1 hour' END
        FROM generate_series(1, 50000) n
    """,
    "limited": """
        INSERT INTO afresh.job_limit (kind, name, max_running) VALUES ('queue', 'limited', 1);
        INSERT INTO procrastinate_jobs (task_name, queue_name, priority, status)
        SELECT 't', 'limited', 9, CASE n WHEN 1 THEN 'doing' ELSE 'todo' END::procrastinate_job_status
        FROM generate_series(1, 100000) n
    """,
    "spent": """
        INSERT INTO afresh.job_limit (kind, name, rate_jobs, rate_seconds, tokens_at)
        VALUES ('task', 'spent', 1, 1e6, now());
        INSERT INTO procrastinate_jobs (task_name, queue_name, priority)
        SELECT 'spent', 'q', 9 FROM generate_series(1, 50000) n
    """,
    "one lock": """
        INSERT INTO procrastinate_jobs (task_name, queue_name, priority, lock, status)
        SELECT 't', 'q', 9, 'busy', CASE n WHEN 1 THEN 'doing' ELSE 'todo' END::procrastinate_job_status
        FROM generate_series(1, 5000) n
    """,
}
RUNNABLE = """
    INSERT INTO procrastinate_jobs (task_name, queue_name, lock)
    SELECT 't', 'q', CASE WHEN n % 10 = 0 THEN 'k' || n END FROM generate_series(1, 300) n
"""
PAUSE = "INSERT INTO afresh.hold (kind, name, reason, held_by) VALUES ('queue', 'paused', 'why', 'me')"

LIMIT = 50
ENOUGH = 3000
"""Buffers for a claim of 50, all their index entries and events included: 60 a job. Usual are 2 100 on 18."""

ENOUGH_FOR_NOTHING = 200
"""Buffers for a claim that finds nothing to run. Usual are 14 to 60."""


def load(server: Server, name: str, front: str) -> None:
    """Put in what lies in front, and behind it what can run; without triggers, which only take time here.

    Nothing is altered, which would make other sessions plan anew.
    """
    with psycopg.connect(server.filler(name), autocommit=True) as conn:
        conn.execute(PAUSE)
        if front != "nothing":
            conn.execute(FRONTS[front])
        conn.execute(RUNNABLE)


@contextmanager
def database(server: Server, name: str, template: str) -> Iterator[psycopg.Connection[Any]]:
    """A connection to a database of this name, for as long as it lasts."""
    with psycopg.connect(server.create(name, template=template), autocommit=True) as conn:
        yield conn
    server.drop(name)


@pytest.fixture(scope="session")
def loaded(server: Server, template: str) -> Iterator[dict[str, str]]:
    """A database to copy for each front, and one without: filled once."""
    names = {front: f"afresh_front_{number}_{os.getpid()}" for number, front in enumerate(["nothing", *FRONTS])}
    for front, name in names.items():
        server.create(name, template=template)
        load(server, name, front)
    yield names
    for name in names.values():
        server.drop(name)


@pytest.fixture
def conn(request: pytest.FixtureRequest, server: Server, loaded: dict[str, str]) -> Iterator[psycopg.Connection[Any]]:
    """A connection to a copy of the database with the front that the test names."""
    with database(server, f"afresh_copy_{os.getpid()}", loaded[request.param]) as conn:
        yield conn


@pytest.fixture(scope="session")
def usual(server: Server, loaded: dict[str, str]) -> int:
    """What a claim costs with nothing in front."""
    with database(server, f"afresh_usual_{os.getpid()}", loaded["nothing"]) as conn:
        return warm_cost(conn)


def cost(conn: psycopg.Connection[Any], limit: int = LIMIT) -> tuple[int, int]:
    """Buffers that a claim touches, and how many jobs it takes."""
    explain = "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) SELECT * FROM afresh.claim(%s, %s)"
    worker = conn.execute("SELECT worker_id FROM procrastinate_register_worker_v1()").fetchone()
    assert worker
    row = conn.execute(explain, [worker[0], limit]).fetchone()
    assert row
    plan = row[0][0]["Plan"]
    return plan["Shared Hit Blocks"] + plan["Shared Read Blocks"], int(plan["Actual Rows"])


def warm_cost(conn: psycopg.Connection[Any]) -> int:
    """Buffers of a full claim in a session that has claimed before: the first one also reads the catalogue."""
    cost(conn)
    buffers, taken = cost(conn)
    assert taken == LIMIT
    return buffers


@pytest.mark.parametrize("conn", FRONTS, indirect=True)
def test_what_lies_in_front_costs_nothing(conn: psycopg.Connection[Any], usual: int):
    """A claim costs about the same whatever lies in front of the jobs that can run."""
    assert warm_cost(conn) < min(ENOUGH, 1.5 * usual)


@pytest.mark.parametrize("conn", FRONTS, indirect=True)
def test_finding_nothing_costs_nothing(conn: psycopg.Connection[Any]):
    """An idle worker's claim costs next to nothing, whatever waits that cannot run."""
    conn.execute("DELETE FROM procrastinate_jobs WHERE lock LIKE 'k%' OR (lock IS NULL AND priority = 0)")
    conn.execute("VACUUM procrastinate_jobs")
    cost(conn)
    buffers, taken = cost(conn)
    assert taken == 0
    assert buffers < ENOUGH_FOR_NOTHING


@pytest.mark.parametrize("front", FRONTS)
def test_a_plan_made_for_an_empty_table_stays_good(server: Server, template: str, usual: int, front: str):
    """A session that planned its claims while nothing waited claims as cheaply when much does, analyzed or not yet."""
    with database(server, f"afresh_plan_{os.getpid()}", template) as conn:
        conn.execute("ANALYZE procrastinate_jobs")
        for _ in range(6):
            assert cost(conn)[1] == 0
        load(server, conn.info.dbname, front)
        assert warm_cost(conn) < min(ENOUGH, 1.5 * usual)
        conn.execute("ANALYZE procrastinate_jobs")
        assert warm_cost(conn) < min(ENOUGH, 1.5 * usual)


@pytest.mark.parametrize("front", FRONTS)
def test_a_young_database(server: Server, template: str, usual: int, front: str):
    """Where no table was ever analyzed, and the planner has nothing but its defaults, a claim costs no more."""
    with database(server, f"afresh_young_{os.getpid()}", template) as conn:
        assert cost(conn)[1] == 0
        load(server, conn.info.dbname, front)
        assert warm_cost(conn) < min(ENOUGH, 1.5 * usual)


@pytest.mark.parametrize("conn", ["open"], indirect=True)
def test_asking_for_a_share_costs_nothing(conn: psycopg.Connection[Any]):
    """To know that jobs of an open dependency wait, and to take three of them, costs no more for 50 000 of them."""
    counting = "SELECT * FROM afresh.count_waiting('{down}', NULL, '{}', '{}', 50)"
    conn.execute(counting)
    row = conn.execute("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) " + counting).fetchone()
    assert row
    assert row[0][0]["Plan"]["Shared Hit Blocks"] < ENOUGH_FOR_NOTHING
    share = '[{"name": "down", "generation": 1, "jobs": 3, "retries": 1}]'
    taking = "SELECT * FROM afresh.claim(NULL, 50, '{nobody,q}', p_shares => %s)"
    assert len(conn.execute(taking, [share]).fetchall()) == LIMIT
    row = conn.execute("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) " + taking, [share]).fetchone()
    assert row
    assert row[0][0]["Plan"]["Shared Hit Blocks"] < ENOUGH
    (taken,) = conn.execute(
        "SELECT count(*) FROM procrastinate_jobs WHERE status = 'doing' AND afresh_dependency = 'down'"
    ).fetchone() or (0,)
    assert taken == 2 * 3


@pytest.mark.parametrize("conn", ["future"], indirect=True)
def test_next_due_costs_nothing(conn: psycopg.Connection[Any]):
    """To know when the next job falls due costs the number of lanes, not of jobs."""
    conn.execute("SELECT afresh.next_due()")
    row = conn.execute("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) SELECT afresh.next_due()").fetchone()
    assert row
    assert row[0][0]["Plan"]["Shared Hit Blocks"] < ENOUGH_FOR_NOTHING
