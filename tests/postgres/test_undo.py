"""Afresh comes into a database of Procrastinate's and goes again, and what was there before is there after it."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import psycopg
import pytest

from app.postgres import turn
from app.postgres.adoption import foresee
from app.postgres.cluster import SUPERUSER
from app.postgres.errors import MigrationError
from app.postgres.golden import dump, pg_dump
from app.postgres.migrate import migrate, plan
from app.postgres.undo import foresee_undo, undo

from ..eventually import eventually_sync
from ..servers import Server
from .adoption import fill, procrastinate_of
from .test_building import INDEXES

pytestmark = pytest.mark.matrix

ALIVE = timedelta(seconds=30)
DEFER = "SELECT procrastinate_defer_jobs_v1(ARRAY['(mine,t,0,,,{},)']::procrastinate_job_to_defer_v1[])"
ROWS = "SELECT md5(string_agg(t::text, ',' ORDER BY t.id)) FROM procrastinate_{} AS t"


@pytest.fixture
def conn(empty_database_url: str) -> Iterator[psycopg.Connection]:
    """A connection to a database that grew with Procrastinate to 3.4, whose tables somebody has tuned, with jobs."""
    with psycopg.connect(empty_database_url, autocommit=True) as conn:
        procrastinate_of(conn)
        conn.execute("ALTER TABLE procrastinate_jobs SET (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.01)")
        conn.execute("ALTER TABLE procrastinate_events SET (autovacuum_analyze_threshold = 77)")
        fill(conn, 2000)
        yield conn


def content(conn: psycopg.Connection) -> list[object]:
    """What stands in Procrastinate's tables."""
    return [conn.execute(ROWS.format(table)).fetchone() for table in ("jobs", "events", "periodic_defers", "workers")]


def test_what_was_there_is_there_again(conn: psycopg.Connection, empty_database_url: str):
    """Every object of the catalogue, every storage parameter and every row is as it was before Afresh came."""
    schema, rows = pg_dump(empty_database_url), content(conn)
    migrate(conn)
    assert pg_dump(empty_database_url) != schema
    undo(conn, stalled_after=ALIVE)
    assert pg_dump(empty_database_url) == schema
    assert content(conn) == rows


def test_afresh_can_come_again(conn: psycopg.Connection, empty_database_url: str):
    """A second adoption makes what the first one made."""
    migrate(conn)
    first = dump(empty_database_url)
    undo(conn, stalled_after=ALIVE)
    undo(conn, stalled_after=ALIVE)
    assert len(migrate(conn)) > 1
    assert dump(empty_database_url) == first


def test_a_schema_that_is_behind_goes_as_well(conn: psycopg.Connection, empty_database_url: str):
    """After any step of an adoption that was broken off, it can be undone."""
    schema, steps = pg_dump(empty_database_url), plan(conn)
    for count in (1, 4, 20, len(steps) - 1):
        migrate(conn, steps[:count])
        assert foresee_undo(conn)
        undo(conn, stalled_after=ALIVE)
        assert pg_dump(empty_database_url) == schema


def test_who_defers_goes_on_meanwhile(conn: psycopg.Connection, empty_database_url: str):
    """Jobs are deferred, taken and ended while Afresh comes and goes; nobody waits 2 s for a lock."""
    over = threading.Event()

    def work() -> list[int]:
        with psycopg.connect(empty_database_url, autocommit=True, options="-c lock_timeout=2s") as own:
            ended: list[int] = []
            while not over.is_set() or not ended:
                ((job,),) = own.execute(DEFER).fetchone() or ((0,),)
                own.execute("UPDATE procrastinate_jobs SET status = 'doing' WHERE id = %s", [job])
                own.execute("SELECT procrastinate_finish_job_v1(%s, 'succeeded', false)", [job])
                ended.append(job)
            return ended

    with ThreadPoolExecutor(1) as pool:
        worker = pool.submit(work)
        try:
            for _ in range(2):
                migrate(conn)
                undo(conn, stalled_after=ALIVE)
        finally:
            over.set()
        ended = worker.result(60)
    mine = "SELECT id, status::text, attempts FROM procrastinate_jobs WHERE queue_name = 'mine' ORDER BY id"
    assert conn.execute(mine).fetchall() == [(job, "succeeded", 1) for job in ended]


def test_a_fetch_that_meets_a_new_column(conn: psycopg.Connection, empty_database_url: str):
    """It has the type of the table's rows. Where that changes while it waits, it fails and leaves its job."""
    fetch = "SELECT id FROM procrastinate_fetch_job_v2(NULL, NULL)"
    waits = "SELECT pid FROM pg_locks WHERE NOT granted AND relation = 'procrastinate_jobs'::regclass"
    running = "SELECT count(*) FROM procrastinate_jobs WHERE status = 'doing'"
    with psycopg.connect(empty_database_url, autocommit=True) as own, ThreadPoolExecutor(1) as pool:
        own.execute(fetch)
        with conn.transaction():
            conn.execute("ALTER TABLE procrastinate_jobs ADD COLUMN afresh_more text")
            fetched = pool.submit(own.execute, fetch)
            eventually_sync(lambda: conn.execute(waits).fetchone())
        with pytest.raises(psycopg.errors.DatatypeMismatch, match="function return row and query-specified return row"):
            fetched.result(60)
        assert conn.execute(running).fetchone() == (1,)
        own.execute(fetch)
        assert conn.execute(running).fetchone() == (2,)


def test_a_parameter_that_was_changed_since_is_left(conn: psycopg.Connection):
    """Who tuned the table after us knows why."""
    migrate(conn)
    conn.execute("ALTER TABLE procrastinate_events SET (autovacuum_vacuum_threshold = 99)")
    undo(conn, stalled_after=ALIVE)
    options = conn.execute("SELECT reloptions FROM pg_class WHERE relname = 'procrastinate_events'").fetchone()
    assert options == (["autovacuum_vacuum_threshold=99", "autovacuum_analyze_threshold=77"],)


def test_no_row_is_rewritten(conn: psycopg.Connection):
    """Neither the adoption nor its undoing writes a row of Procrastinate's, nor a new file of its tables."""
    where = "SELECT 'procrastinate_jobs'::regclass::oid, pg_relation_filenode('procrastinate_jobs')"
    version = "SELECT md5(string_agg(ctid::text || xmin::text, ',' ORDER BY id)) FROM procrastinate_jobs"
    before = [conn.execute(query).fetchall() for query in (where, version)]
    migrate(conn)
    undo(conn, stalled_after=ALIVE)
    assert [conn.execute(query).fetchall() for query in (where, version)] == before


def test_the_plan_of_an_adoption(conn: psycopg.Connection):
    """It tells what comes to the tables of jobs, and how many jobs there are."""
    assert "a number of jobs that was never analysed" in "\n".join(foreseen(conn))
    conn.execute("ANALYZE procrastinate_jobs")
    said = foreseen(conn)
    assert said[0] == "On procrastinate_jobs, with about 2,000 jobs:"
    assert said[1].startswith("  columns: afresh_letter, afresh_dependency, afresh_claim (")
    assert said[2].startswith("  triggers: afresh_follow_replay, ")
    assert said[3].startswith(f"  indexes: {', '.join(INDEXES)} (")
    assert said[4].startswith("  autovacuum: procrastinate_jobs, procrastinate_events (")
    migrate(conn)
    assert foresee(conn, plan(conn)) is None


def test_the_plan_of_who_may_not(conn: psycopg.Connection, server: Server):
    """What is in the way is told before anything is tried."""
    if not server.embedded:
        pytest.skip("roles are made by the embedded server's superuser")
    conn.execute("SET statement_timeout = '5min'")
    assert [line for line in foreseen(conn) if "In the way" in line] == [
        "  In the way: statement_timeout is 5min, and to build an index may take longer."
    ]
    name = conn.info.dbname
    with psycopg.connect(server.database(name), user=SUPERUSER, autocommit=True) as other:
        other.execute("SET ROLE pg_monitor")
        assert [line for line in foreseen(other) if "In the way" in line] == [
            "  In the way: the role pg_monitor does not own procrastinate_jobs, afresh does.",
            "  In the way: the role pg_monitor may not create a schema in this database.",
        ]


def test_the_plan_tells_all_that_is_done(conn: psycopg.Connection):
    """What a plan says is added is what an undo finds to take away."""
    adoption = foresee(conn, plan(conn))
    migrate(conn)
    removal = foresee_undo(conn)
    assert adoption
    assert removal
    said = {"column": adoption.columns, "trigger": adoption.triggers, "index": adoption.indexes}
    assert sorted((kind, name) for kind, names in said.items() for name in names) == sorted(removal.added)
    assert adoption.tuned == removal.tuned


def foreseen(conn: psycopg.Connection) -> list[str]:
    """What the plan says about Procrastinate's tables."""
    adoption = foresee(conn, plan(conn))
    assert adoption
    return adoption.lines()


def test_the_plan_of_an_undo(conn: psycopg.Connection):
    """It tells how much of what Afresh knows is lost, and which queues will not be paused any more."""
    assert foresee_undo(conn) is None
    migrate(conn)
    conn.execute("INSERT INTO afresh.hold VALUES ('queue', 'mails', 'why', 'who'), ('dependency', 'api', 'why', 'who')")
    conn.execute("INSERT INTO afresh.job_option (job_id) SELECT generate_series(1, 1234)")
    removal = foresee_undo(conn)
    assert removal
    said = removal.lines()
    assert said[0] == "would drop the schema afresh, with 1,234 jobs' options"
    assert "column afresh_claim, afresh_dependency, afresh_letter; trigger afresh_follow_replay, " in said[1]
    assert said[2] == "would set back the autovacuum of procrastinate_jobs, procrastinate_events"
    assert "those of mails, which are paused" in said[4]


def test_nobody_is_left_without_a_schema(conn: psycopg.Connection):
    """While a worker of ours is alive nothing is removed; one that fell silent or stopped needs nothing."""
    migrate(conn)
    conn.execute(
        "INSERT INTO afresh.worker SELECT n, 'worker' || n, 'host', 1, '0', NULL, 1, 0, false, 1, 1, 1, 1, now(),"
        " CASE n WHEN 1 THEN now() - interval '1 min' ELSE now() END, CASE n WHEN 2 THEN now() END"
        " FROM generate_series(1, 3) AS n"
    )
    with pytest.raises(MigrationError, match=r"^stop the workers of Afresh first, and its API: worker3$"):
        undo(conn, stalled_after=ALIVE)
    assert foresee_undo(conn)
    conn.execute("UPDATE afresh.worker SET stopped_at = now()")
    undo(conn, stalled_after=ALIVE)


@pytest.mark.parametrize(
    "made",
    [
        "VIEW public.made AS SELECT * FROM afresh.jobs",
        "TABLE public.made (id bigint REFERENCES afresh.attempt)",
        "TABLE public.made (outcome afresh.outcome)",
        "TABLE afresh.made (id bigint)",
    ],
)
def test_what_others_made_is_not_dropped_with_it(conn: psycopg.Connection, made: str):
    """It is named, and who made it decides. A role with the name of our schema makes its own tables there."""
    migrate(conn)
    conn.execute(f"CREATE {made}".encode())
    with pytest.raises(MigrationError, match=r"^drop or move this first, .*: (public\.|afresh\.)?made$"):
        undo(conn, stalled_after=ALIVE)
    conn.execute(f"DROP {' '.join(made.split()[:2])}".encode())
    undo(conn, stalled_after=ALIVE)


def test_a_long_transaction_is_not_waited_for(
    conn: psycopg.Connection, empty_database_url: str, monkeypatch: pytest.MonkeyPatch
):
    """Who reads jobs for long, or anything of ours, ends the undo in one line, and all of Afresh is still there."""
    monkeypatch.setattr(turn, "LOCK_TIMEOUT", "50ms")
    monkeypatch.setattr(turn, "LOCK_PATIENCE", 0.0)
    migrate(conn)
    before = dump(empty_database_url)
    for table in ("procrastinate_jobs", "afresh.attempt"):
        with psycopg.connect(empty_database_url) as reader:
            reader.execute(f"SELECT FROM {table} LIMIT 1".encode())
            with pytest.raises(MigrationError, match="undoing got no lock on its tables in 0 s: run it again when"):
                undo(conn, stalled_after=ALIVE)
    assert dump(empty_database_url) == before


def test_a_procrastinate_before_3_4_is_refused_by_the_plan(empty_database_url: str, server: Server):
    """Its own migrations come first, and the plan says so."""
    del server
    with psycopg.connect(empty_database_url, autocommit=True) as conn:
        procrastinate_of(conn, "03.03.00_50")
        with pytest.raises(MigrationError, match=r"older than 3\.4: apply Procrastinate's own migrations first"):
            plan(conn)
        assert foresee_undo(conn) is None
