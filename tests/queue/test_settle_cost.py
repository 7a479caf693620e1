"""What a settlement costs does not grow with the jobs that are there, whatever the planner knows of them.

Counted in buffers, as in test_claim_cost.
"""

import os
from collections.abc import Iterator
from typing import Any

import orjson
import psycopg
import pytest

from ..servers import Server

pytestmark = pytest.mark.matrix

Connection = psycopg.Connection[Any]

HISTORY = """
    INSERT INTO procrastinate_jobs (task_name, queue_name, status, attempts)
    SELECT 't', 'q', 'succeeded', 1 FROM generate_series(1, 30000)
"""
RUNNABLE = """
    INSERT INTO procrastinate_jobs (task_name, queue_name, lock)
    SELECT 't', 'q', 'l' || n FROM generate_series(1, 600) n
"""
LETTERS = """
    INSERT INTO afresh.dead_letter (job_id, cause, task_name, queue_name, priority, args, attempts, fingerprint,
                                    first_died_at, died_at, died_as)
    SELECT 1000000 + n, 'permanent', 't', 'q', 0, '{}', 1, 'f' || n, now(), now(), 1000000 + n
    FROM generate_series(1, 20000) n
"""
DEFER = "INSERT INTO procrastinate_jobs (task_name, queue_name, lock) VALUES ('t', 'q', %s)"

COUNT = 50
ENOUGH = 60 * COUNT
"""Buffers for a settlement of 50: indexes, events and, of a failure, its record. Usual are 25 a job, of failures 53."""
ENOUGH_FOR_DEATHS = 110 * COUNT
"""Of failures that bury their jobs, half of them replays. Usual are 76 a job; one index walked over is 130 more."""
LARGE = 500
"""Jobs in the longest group that a worker writes."""
ENOUGH_OF_JOBS = 8 * LARGE
"""Rows of jobs read for it. Usual are 2 a job, of failures 4: its own, its move, and one for each event."""

PLANNED = ["never analyzed", "analyzed while empty", "vacuumed while empty"]
"""What the planner knew of the tables, when it made its plans."""


@pytest.fixture(params=PLANNED)
def conn(request: pytest.FixtureRequest, server: Server, template: str) -> Iterator[Connection]:
    """A session that planned its statements while the database was empty; then it filled up."""
    name = f"afresh_settle_{os.getpid()}"
    with psycopg.connect(server.create(name, template=template), autocommit=True) as conn:
        if "empty" in request.param:
            conn.execute("VACUUM (ANALYZE)" if "vacuum" in request.param else "ANALYZE")
        for _ in range(6):
            use(conn)
        with psycopg.connect(server.filler(name), autocommit=True) as filler:
            filler.execute(HISTORY)
            filler.execute(LETTERS)
            filler.execute(RUNNABLE)
            if "full" in request.param:
                filler.execute("ANALYZE")
        yield conn
    server.drop(name)


def use(conn: Connection) -> None:
    """Defer, claim and settle, and leave nothing behind but plans."""
    with conn.transaction(force_rollback=True):
        for _ in range(3):
            conn.execute(DEFER, [None])
        first, second, third = claimed(conn)
        successes(conn, [first])
        failures(conn, [second])
        deaths(conn, [third])


def claimed(conn: Connection, count: int = COUNT) -> list[int]:
    """Jobs that worker 1 runs."""
    return [row[0] for row in conn.execute("SELECT id FROM afresh.claim(%s, %s, p_claim => 1)", [worker(conn), count])]


def worker(conn: Connection) -> int:
    """The one worker of the database, registered when it is first asked for."""
    row = conn.execute("SELECT min(id) FROM procrastinate_workers").fetchone()
    if row is None or row[0] is None:
        row = conn.execute("SELECT worker_id FROM procrastinate_register_worker_v1()").fetchone()
    assert row
    return int(row[0])


def buffers(conn: Connection, call: str, parameters: list[Any]) -> int:
    """What a function touches."""
    row = conn.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {call}", parameters).fetchone()
    assert row
    plan = row[0][0]["Plan"]
    return int(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])


def successes(conn: Connection, ids: list[int]) -> int:
    """Buffers for a settlement of successes."""
    call = "SELECT * FROM afresh.settle_successes(%s, %s, %s, p_claims => %s)"
    return buffers(conn, call, [worker(conn), ids, [0] * len(ids), [1] * len(ids)])


def failures(conn: Connection, ids: list[int], **changes: Any) -> int:
    """Buffers for a settlement of failures that are tried again."""
    endings = [
        {
            "job_id": job_id, "attempts": 0, "claim": 1, "outcome": "failed", "counted": True, "status": "todo",
            "started_at": "2026-01-01T00:00:00Z", "ended_at": "2026-01-01T00:00:01Z", "decision": "retry",
            "next_run_at": "2100-01-01T00:00:00Z", "delay": 1.0, "failure_type": "UNKNOWN", "fingerprint": "f",
            "exception_type": "E", "message": "m", "explanation": [], "reason": "r",
        } | changes
        for job_id in ids
    ]  # fmt: skip
    call = "SELECT * FROM afresh.settle_endings(%s, %s::jsonb)"
    return buffers(conn, call, [worker(conn), orjson.dumps(endings).decode()])


def deaths(conn: Connection, ids: list[int]) -> int:
    """Buffers for a settlement of failures that bury their jobs."""
    ended = {"decision": "dead_letter", "status": "failed", "cause": "permanent", "next_run_at": None, "delay": None}
    return failures(conn, ids, **ended)


@pytest.mark.parametrize("settle", [successes, failures])
def test_old_plans_stay_good(conn: Connection, settle: Any):
    """A session that planned its settlements in an empty database settles as cheaply when it has filled up."""
    settle(conn, claimed(conn))  # Also reads the catalogue.
    ids = claimed(conn)
    assert len(ids) == COUNT
    assert settle(conn, ids) < ENOUGH


def test_deaths_walk_over_no_letters(conn: Connection):
    """Jobs that die look for their letters by number, and among 20 000 find them at once; so do replays."""
    deaths(conn, claimed(conn))
    ids = claimed(conn)
    conn.execute(
        "UPDATE procrastinate_jobs SET afresh_letter = %s - id WHERE id = ANY (%s)", [1000 + max(ids), ids[:25]]
    )
    assert deaths(conn, ids) < ENOUGH_FOR_DEATHS


@pytest.mark.parametrize("conn", [*PLANNED, "analyzed when full"], indirect=True)
@pytest.mark.parametrize("settle", [successes, failures])
def test_a_large_group_reads_its_own_jobs(conn: Connection, settle: Any):
    """The longer the group, the more a walk over all jobs seems worth it, and that goes through the group for each row.

    Counted in rows: most of a walk stays on one page, and touches few buffers.
    """
    ids = claimed(conn, LARGE)
    assert len(ids) == LARGE
    with conn.transaction():
        before = fetched(conn)
        settle(conn, ids)
        assert fetched(conn) - before < ENOUGH_OF_JOBS


def fetched(conn: Connection) -> int:
    """Rows of jobs that this transaction has read by an index, or one after the other."""
    row = conn.execute(
        "SELECT idx_tup_fetch + seq_tup_read FROM pg_stat_xact_user_tables WHERE relname = 'procrastinate_jobs'"
    ).fetchone()
    assert row
    return int(row[0])


@pytest.mark.parametrize("conn", ["never analyzed"], indirect=True)
def test_deferring_walks_over_no_job(conn: Connection):
    """Nor does what one INSERT sets off, the check of its event's job above all, read the table of jobs.

    Postgres takes a table that was never analyzed for one of ten pages. Analyzed while it is empty it may be walked
    over, as with plain Procrastinate, until autovacuum has looked at it again.
    """
    with conn.transaction():
        conn.execute(DEFER, [None])
        read = conn.execute("SELECT seq_tup_read FROM pg_stat_xact_user_tables WHERE relname = 'procrastinate_jobs'")
        assert read.fetchone() == (0,)
