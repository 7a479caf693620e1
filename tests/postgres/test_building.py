"""A database that others are at work in is migrated beside them: nobody who writes to its jobs waits for long."""

import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import psycopg
import pytest

from app.postgres import turn
from app.postgres.errors import MigrationError
from app.postgres.indexes import read_builds
from app.postgres.migrate import Step, migrate, plan, read_steps

from ..eventually import eventually_sync
from .conftest import REPOSITORY
from .test_migrate import MIGRATE, step

pytestmark = pytest.mark.matrix

STEPS = read_steps()
BUILDING = tuple(step for step in STEPS if step.builds)
BEFORE = STEPS[: BUILDING[0].number - 1]
REST = STEPS[BUILDING[0].number - 1 :]
INDEXES = [build.index for step in BUILDING for build in step.builds]

BUILDERS = "SELECT pid FROM pg_stat_progress_create_index WHERE phase = 'waiting for old snapshots'"
SAYING = (
    "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND query LIKE %s"
)


@pytest.fixture
def conn(empty_database_url: str) -> Iterator[psycopg.Connection]:
    """A connection to a database of Procrastinate's with jobs of every status, and of ours all but the indexes."""
    with psycopg.connect(empty_database_url, autocommit=True) as conn:
        migrate(conn, [])
        conn.execute(
            "INSERT INTO procrastinate_jobs (queue_name, task_name, status, lock)"
            " SELECT 'q', 't', (ARRAY['todo', 'succeeded', 'failed'])[n % 3 + 1]::procrastinate_job_status, 'lock' || n"
            " FROM generate_series(1, 3000) AS n"
        )
        migrate(conn, BEFORE)
        yield conn


@contextmanager
def old_snapshot(url: str) -> Iterator[None]:
    """A transaction that every index built CONCURRENTLY has to wait for."""
    with psycopg.connect(url) as reader:
        reader.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        reader.execute("SELECT")
        yield


def run(url: str, steps: Sequence[Step] | None = None) -> list[Step]:
    """Migrate, on a connection of its own."""
    with psycopg.connect(url, autocommit=True) as conn:
        return migrate(conn, steps)


def builder(conn: psycopg.Connection) -> int:
    """The backend that builds an index, once it waits for the old snapshot."""
    (pid,) = eventually_sync(lambda: conn.execute(BUILDERS).fetchone()) or (0,)
    return int(pid)


def indexes(conn: psycopg.Connection) -> dict[str, bool]:
    """Whether each index of ours on Procrastinate's jobs is valid, by name."""
    found = conn.execute(
        "SELECT relname, indisvalid FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid"
        " WHERE indrelid = 'procrastinate_jobs'::regclass AND starts_with(relname, 'afresh_')"
    )
    return dict(found.fetchall())


def abandoned_build(conn: psycopg.Connection, url: str) -> int:
    """Kill a process while it builds an index; return the backend, which goes on."""
    command = [sys.executable, "-c", MIGRATE, url]
    with subprocess.Popen(command, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
        assert process.stdin
        process.stdin.write(b"\n")
        process.stdin.flush()
        pid = builder(conn)
        process.kill()
    return pid


def test_nobody_who_writes_waits_for_an_index(conn: psycopg.Connection, empty_database_url: str):
    """While an index is built, jobs are made, taken and ended; its builder holds no lock that any of these minds."""
    conn.execute("SET lock_timeout = '1s'")
    with ThreadPoolExecutor(1) as pool:
        with old_snapshot(empty_database_url):
            migration = pool.submit(run, empty_database_url)
            pid = builder(conn)
            conn.execute("INSERT INTO procrastinate_jobs (queue_name, task_name) VALUES ('q', 't')")
            conn.execute("UPDATE procrastinate_jobs SET status = 'doing' WHERE id % 3 = 0")
            conn.execute("DELETE FROM procrastinate_jobs WHERE id % 3 = 1")
            held = conn.execute(
                "SELECT DISTINCT mode FROM pg_locks WHERE relation = 'procrastinate_jobs'::regclass AND pid = %s", [pid]
            )
            assert held.fetchall() == [("ShareUpdateExclusiveLock",)]
            assert not migration.done()
        assert tuple(migration.result(60)) == REST
    assert indexes(conn) == dict.fromkeys(INDEXES, True)


def test_of_many_only_one_builds(conn: psycopg.Connection, empty_database_url: str):
    """Those who find another one building neither build themselves nor keep it from its end."""
    with ThreadPoolExecutor(4) as pool:
        with old_snapshot(empty_database_url):
            four = [pool.submit(run, empty_database_url) for _ in range(4)]
            builder(conn)
            eventually_sync(lambda: conn.execute(SAYING, ["COMMIT"]).rowcount == 3)  # Of asking for the lock in vain.
            assert conn.execute(SAYING, ["%CONCURRENTLY%"]).rowcount == 1
        assert sorted(each.number for one in four for each in one.result(60)) == [each.number for each in REST]
    assert indexes(conn) == dict.fromkeys(INDEXES, True)


def test_what_a_broken_build_left_is_built_anew(conn: psycopg.Connection, empty_database_url: str):
    """An index that is there and not valid is no index."""
    with old_snapshot(empty_database_url):
        conn.execute("SELECT pg_terminate_backend(%s, 10000)", [abandoned_build(conn, empty_database_url)])
    assert indexes(conn) == {INDEXES[0]: False}
    assert tuple(plan(conn)) == REST
    assert tuple(migrate(conn)) == REST
    assert indexes(conn) == dict.fromkeys(INDEXES, True)


def test_a_build_whose_migration_is_gone_is_waited_for(conn: psycopg.Connection, empty_database_url: str):
    """The server goes on with it, and who migrates next takes what it makes."""
    with ThreadPoolExecutor(1) as pool:
        with old_snapshot(empty_database_url):
            pid = abandoned_build(conn, empty_database_url)
            migration = pool.submit(run, empty_database_url)
            eventually_sync(lambda: conn.execute(SAYING, ["%FROM pg_stat_progress_create_index JOIN%"]).fetchone())
            oid = conn.execute("SELECT %s::regclass::oid", [INDEXES[0]]).fetchone()
            assert builder(conn) == pid
        assert tuple(migration.result(60)) == REST
    assert conn.execute("SELECT %s::regclass::oid", [INDEXES[0]]).fetchone() == oid
    assert indexes(conn) == dict.fromkeys(INDEXES, True)


def test_a_table_that_is_held_is_asked_for_again_and_again(
    conn: psycopg.Connection, empty_database_url: str, monkeypatch: pytest.MonkeyPatch
):
    """Behind a long transaction a migration waits only for a moment each time, and lets those behind it write."""
    monkeypatch.setattr(turn, "LOCK_TIMEOUT", "200ms")
    monkeypatch.setattr(turn, "LOCK_PAUSE", 0.2)
    change = step(len(BEFORE) + 1, "ALTER TABLE procrastinate_jobs ADD COLUMN afresh_more text")
    waits = "SELECT pid FROM pg_locks WHERE NOT granted AND relation = 'procrastinate_jobs'::regclass"
    with ThreadPoolExecutor(1) as pool:
        with psycopg.connect(empty_database_url) as reader, psycopg.connect(empty_database_url) as looker:
            reader.execute("SELECT FROM procrastinate_jobs LIMIT 1")
            looker.autocommit = True
            migration = pool.submit(run, empty_database_url, [*BEFORE, change])
            for _ in range(2):
                eventually_sync(lambda: looker.execute(waits).fetchone())
                conn.execute("INSERT INTO procrastinate_jobs (queue_name, task_name) VALUES ('q', 't')")
            assert not migration.done()
        assert migration.result(60) == [change]


def test_a_table_that_is_held_for_long_fails_the_migration(
    conn: psycopg.Connection, empty_database_url: str, monkeypatch: pytest.MonkeyPatch
):
    """In one line that says what to do; nothing of the step is left, and no lock."""
    monkeypatch.setattr(turn, "LOCK_TIMEOUT", "1ms")
    monkeypatch.setattr(turn, "LOCK_PATIENCE", 0.0)
    change = step(len(BEFORE) + 1, "CREATE TABLE half (); ALTER TABLE procrastinate_jobs ADD COLUMN afresh_more text")
    with psycopg.connect(empty_database_url) as reader:
        reader.execute("SELECT FROM procrastinate_jobs LIMIT 1")
        with pytest.raises(MigrationError, match=f"{change} got no lock on its tables in 0 s: run it again"):
            migrate(conn, [*BEFORE, change])
    assert conn.execute("SELECT to_regclass('half')").fetchone() == (None,)


def test_the_former_texts_of_steps_count_as_applied(conn: psycopg.Connection):
    """A database that went through them goes on: no index is built again, no setting of ours taken for theirs."""
    steps = [each for each in read_steps() if each.number <= BUILDING[0].number + 1]  # Later ones are not undone here.
    migrate(conn, steps)
    former = {each.number: min(each.checksums - {each.checksum}) for each in steps if len(each.checksums) > 1}
    assert list(former) == [5, 10, 26]
    for number, checksum in former.items():
        conn.execute("UPDATE afresh.migration SET checksum = %s WHERE number = %s", [checksum, number])
    conn.execute("DELETE FROM afresh.migration WHERE number >= %s", [BUILDING[0].number])
    conn.execute("DROP TABLE afresh.storage_parameter")
    oids = conn.execute("SELECT oid FROM pg_class WHERE relname = ANY (%s) ORDER BY oid", [INDEXES]).fetchall()
    assert [each.number for each in migrate(conn, steps)] == [36, 37]
    assert conn.execute("SELECT oid FROM pg_class WHERE relname = ANY (%s) ORDER BY oid", [INDEXES]).fetchall() == oids
    assert conn.execute("SELECT count(*), count(former) FROM afresh.storage_parameter").fetchone() == (13, 0)


@pytest.mark.parametrize("step", [step for step in STEPS if not step.builds], ids=str)
def test_no_step_reads_all_jobs_while_they_wait(step: Step):
    """In a transaction nothing is done to Procrastinate's tables but adding columns without a value, and triggers."""
    lasting = (
        r"CREATE\s+(UNIQUE\s+)?INDEX[^;]*\bON\s+procrastinate_|ALTER TABLE procrastinate_\w+ (?!ADD COLUMN \w+ \w+;)"
    )
    assert not re.search(lasting, step.text)


@pytest.mark.parametrize("text", ["CREATE INDEX a ON b (c)", "CREATE INDEX CONCURRENTLY a ON b (c)", "DROP TABLE b"])
def test_outside_a_transaction_only_what_can_be_repeated_is_done(text: str):
    """Anything else would be left half done by a crash."""
    with pytest.raises(MigrationError, match="outside a transaction only indexes are built, not"):
        read_builds(f"CREATE INDEX CONCURRENTLY IF NOT EXISTS a ON b (c);\n{text};")
