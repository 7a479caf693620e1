"""Migrations are applied once each, in order, whoever else is at it; what does not fit is refused in words."""

import hashlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from app.postgres.errors import MigrationError, SchemaBehind
from app.postgres.migrate import Step, migrate, plan, read_steps, require_current

from .conftest import REPOSITORY

pytestmark = pytest.mark.matrix

MIGRATE = """
import sys, psycopg
from app.postgres.migrate import migrate
with psycopg.connect(sys.argv[1], autocommit=True) as conn:
    print("ready", flush=True)
    sys.stdin.readline()
    print(*[step.number for step in migrate(conn)])
"""


@pytest.fixture
def empty(empty_database_url: str) -> Iterator[psycopg.Connection]:
    """A connection to a database without any schema."""
    with psycopg.connect(empty_database_url, autocommit=True) as conn:
        yield conn


def step(number: int, text: str, name: str = "make_something") -> Step:
    """A migration of the test's own, to follow the real ones."""
    return Step(number, name, hashlib.sha256(text.encode()).hexdigest(), text)


def schema_of(conn: psycopg.Connection) -> list[tuple[str, ...]]:
    """Every table, function and record of a migration, with what tells one making of it from another."""
    return conn.execute(
        "SELECT relname::text, oid::text FROM pg_class WHERE relnamespace NOT IN ('pg_toast'::regnamespace) "
        "UNION SELECT proname, oid::text FROM pg_proc UNION SELECT name, applied_at::text FROM afresh.migration "
        "ORDER BY 1, 2"
    ).fetchall()


def test_a_fresh_database_gets_procrastinate_first(empty: psycopg.Connection):
    """Step 0 is Procrastinate's schema; ours follow in the order of their numbers."""
    numbers = [step.number for step in migrate(empty)]
    assert numbers == list(range(len(read_steps()) + 1))
    assert empty.execute("SELECT count(*) FROM procrastinate_jobs").fetchone() == (0,)


def test_a_second_run_changes_nothing(empty: psycopg.Connection):
    """Migrating a current database applies no step and leaves every object as it was."""
    migrate(empty)
    before = schema_of(empty)
    assert migrate(empty) == []
    assert schema_of(empty) == before


def test_the_plan_is_what_would_be_done(empty: psycopg.Connection):
    """Planning names the pending steps and changes nothing."""
    planned = plan(empty)
    assert empty.execute("SELECT to_regclass('procrastinate_jobs')").fetchone() == (None,)
    assert migrate(empty) == planned
    assert plan(empty) == []


def test_many_at_once_apply_each_step_once(empty_database_url: str):
    """Four processes that migrate one database together do the work of one."""
    command = [sys.executable, "-c", MIGRATE, empty_database_url]
    processes = [
        subprocess.Popen(command, cwd=REPOSITORY, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for _ in range(4)
    ]
    for process in processes:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin
        process.stdin.write("\n")
        process.stdin.flush()
    applied = [int(number) for process in processes for number in process.communicate(timeout=60)[0].split()]
    assert sorted(applied) == list(range(len(read_steps()) + 1))
    assert [process.returncode for process in processes] == [0, 0, 0, 0]


def test_an_existing_procrastinate_is_left_as_it_is(conn_with_procrastinate: psycopg.Connection):
    """On a database that runs Procrastinate already, its jobs and functions stay."""
    conn_with_procrastinate.execute("INSERT INTO procrastinate_jobs (queue_name, task_name) VALUES ('q', 't')")
    assert migrate(conn_with_procrastinate)[0].number == 1
    assert conn_with_procrastinate.execute("SELECT count(*) FROM procrastinate_jobs").fetchone() == (1,)


@pytest.fixture
def conn_with_procrastinate(empty: psycopg.Connection) -> psycopg.Connection:
    """A database that only Procrastinate's own schema was applied to."""
    migrate(empty, [])
    return empty


def test_a_procrastinate_that_is_too_old_is_refused(empty: psycopg.Connection):
    """Before 3.4 its own migrations come first, and one line says so."""
    empty.execute("CREATE TABLE procrastinate_jobs (id bigint)")
    with pytest.raises(MigrationError, match=r"older than 3\.4"):
        migrate(empty)


def test_an_edited_migration_is_refused(empty: psycopg.Connection):
    """A file that differs from the one that ran stops everything, and is named."""
    migrate(empty, [*read_steps()[:1], step(2, "CREATE TABLE one ()")])
    edited = [*read_steps()[:1], step(2, "CREATE TABLE two ()"), step(3, "CREATE TABLE three ()")]
    for use in (plan, migrate, require_current):
        with pytest.raises(MigrationError, match="0002_make_something was edited"):
            use(empty, edited)
    assert empty.execute("SELECT to_regclass('three')").fetchone() == (None,)


def test_a_migration_cannot_be_slipped_in_before_others(empty: psycopg.Connection):
    """A new file with an old number, as after a merge of two branches, must be renumbered."""
    first, third = read_steps()[0], step(3, "SELECT 1")
    migrate(empty, [first, third])
    with pytest.raises(MigrationError, match="0002_make_something comes before 0003"):
        plan(empty, [first, step(2, "SELECT 2"), third])


def test_a_failing_migration_leaves_nothing_of_itself(empty: psycopg.Connection):
    """What came before stays applied; of the failed step neither objects nor a record remain."""
    first = read_steps()[0]
    with pytest.raises(MigrationError, match='0002_make_something failed: relation "missing" does not exist'):
        migrate(empty, [first, step(2, "CREATE TABLE half (); SELECT * FROM missing")])
    assert empty.execute("SELECT to_regclass('half')").fetchone() == (None,)
    assert empty.execute("SELECT array_agg(number) FROM afresh.migration").fetchone() == ([1],)
    migrate(empty, [first, step(2, "CREATE TABLE whole ()")])


def test_a_schema_that_is_behind_is_not_served(empty: psycopg.Connection):
    """Who may not migrate is told what is missing and what to run."""
    migrate(empty, read_steps()[:1])
    with pytest.raises(
        SchemaBehind, match=r"behind by 1 migration \(next: 0002_make_something\): run `afresh migrate`"
    ):
        require_current(empty, [read_steps()[0], step(2, "SELECT 1")])


def test_a_schema_that_is_ahead_is_served(empty: psycopg.Connection):
    """During a deploy, older code works on the newer schema."""
    migrate(empty, [read_steps()[0], step(2, "SELECT 1")])
    require_current(empty, read_steps()[:1])
    assert migrate(empty, read_steps()[:1]) == []


@pytest.mark.parametrize(
    "name", ["0002_create.sql", "002_create_thing.sql", "0003_create_thing.sql", "0002_Create_It.sql"]
)
def test_misnamed_files_are_refused(tmp_path: Path, name: str):
    """Numbers have no gaps, and names are a verb and a noun."""
    (tmp_path / "0001_create_schema.sql").write_text("SELECT 1")
    (tmp_path / name).write_text("SELECT 1")
    with pytest.raises(MigrationError, match="expected 0002_verb_noun"):
        read_steps(tmp_path)


def test_line_ends_do_not_change_a_checksum(tmp_path: Path):
    """A checkout with Windows line ends is the same migration."""
    (tmp_path / "0001_create_schema.sql").write_bytes(b"SELECT 1;\r\nSELECT 2;\r\n")
    assert read_steps(tmp_path)[0].checksum == hashlib.sha256(b"SELECT 1;\nSELECT 2;\n").hexdigest()


def test_sums_that_are_there_leave_the_clock_out(empty: psycopg.Connection):
    """Step 38 adds up anew what there is of all tasks together; where nothing but the clock ran, that is nothing."""
    steps = read_steps()
    migrate(empty, [step for step in steps if step.number < 38])
    empty.execute(
        "INSERT INTO afresh.task_sample "
        "SELECT 60, name, at, 5, 5, 0, 0, 0, 0, 0, 1, 1, array_fill(5::bigint, ARRAY[15]) "
        "FROM (VALUES ('shop.pay', timestamptz '2030-01-01'), ('app.tasks.maintenance.fold_failures', '2030-01-01'), "
        "('app.tasks.maintenance.fold_failures', '2030-01-02')) AS did (name, at)"
    )
    empty.execute(
        "INSERT INTO afresh.service_sample (seconds, at, repeats, dead_letters, workers) "
        "VALUES (60, '2030-01-01', 0, 0, 1), (60, '2030-01-02', 0, 0, 1)"
    )
    sums = "SELECT submitted, succeeded, cardinality(durations) FROM afresh.service_sample ORDER BY at"
    empty.execute("SELECT afresh.sum_service(60, '-infinity', 'infinity')")
    assert empty.execute(sums).fetchall() == [(10, 10, 15), (5, 5, 15)]
    migrate(empty, steps)
    assert empty.execute(sums).fetchall() == [(5, 5, 15), (0, 0, 0)]
