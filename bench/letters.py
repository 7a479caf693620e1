"""What bringing many dead letters back costs: the worker's memory, and the speed of the jobs that run meanwhile."""

from collections.abc import Iterator
from functools import partial

import psycopg

from . import load
from .bench import Bench
from .contenders import run
from .row import Row, from_rounds, plain, ratio

FEW = 1_000
MEANWHILE_PER_SECOND = 200.0
"""Four times what a bulk action does unasked: over the few seconds of a run, its ramp comes to what that is at last."""

FASTEST = 10_000.0

_SPEED = """
WITH ends AS (
    SELECT e.at, e.type, j.afresh_letter IS NULL AS other
    FROM procrastinate_events e JOIN procrastinate_jobs j ON j.id = e.job_id
    WHERE e.job_id > %s AND j.task_name = 'noop' AND e.type IN ('started', 'succeeded')
),
span AS (
    SELECT min(at) FILTER (WHERE type = 'started') AS began, max(at) FILTER (WHERE type = 'succeeded') AS ended
    FROM ends WHERE other
)
SELECT count(*) FILTER (WHERE other), count(*), extract(epoch FROM max(ended) - min(began))
FROM ends, span
WHERE type = 'succeeded' AND at BETWEEN began AND ended
"""
"""While there are jobs that are no replays: these, all jobs, and how long that was."""

_RESOLVED = "SELECT count(*) FILTER (WHERE status = 'resolved'), count(*) FROM afresh.dead_letter"


def rows(bench: Bench) -> Iterator[Row]:
    """Memory over that at few letters, and the speed kept while letters come back."""
    count = bench.scale.letters
    bench.server.template("few letters", ours=True, fill=partial(_fill, count=FEW))
    bench.server.template("letters", ours=True, fill=partial(_fill, count=count))
    meanwhile = int(2 * bench.scale.seconds * MEANWHILE_PER_SECOND)  # Enough to outlast the run, and little more.
    fill = partial(_fill, count=meanwhile, others=count - meanwhile)
    bench.server.template("some of many letters", ours=True, fill=fill)
    few, many = _peak_mb(bench, "few letters"), _peak_mb(bench, "letters")
    yield from_rounds(
        f"worker memory while {plain(count)} dead letters are replayed, over that at few",
        [many - few],
        "MB",
        required=20,
        goal=2,
        smaller_is_better=True,
        note=f"{plain(few)} → {plain(many)} MB",
    )
    alone: list[tuple[float, float]] = []
    beside: list[tuple[float, float]] = []
    for _ in bench.rounds("letters"):
        alone.append(_speed(bench, "some of many letters"))
        beside.append(_speed(bench, "some of many letters", MEANWHILE_PER_SECOND))
    name = "speed kept of other jobs while dead letters are replayed at the default rate"
    pair = [each[0] for each in beside], [each[0] for each in alone]
    yield ratio(name, *pair, of="jobs/s", required=0.9, goal=0.95)
    beside = [_speed(bench, "letters", FASTEST) for _ in bench.rounds("letters, as fast as can be")]
    pair = [each[1] for each in beside], [each[1] for each in alone]
    yield ratio("… of all jobs, with those replayed, at the highest rate", *pair, of="jobs/s")


def _fill(conn: psycopg.Connection, count: int, others: int = 0) -> None:
    """Dead letters of jobs that are not kept any more: those that are replayed, and others beside them."""
    conn.execute(
        """
        INSERT INTO afresh.dead_letter (
            job_id, cause, task_name, queue_name, priority, args, attempts, failure_type, fingerprint, message,
            remediation, first_died_at, died_at, died_as
        )
        SELECT -n, 'retries_spent', CASE WHEN n <= %s THEN 'noop' ELSE 'other' END, 'default', 5, '{}', 4,
               'EXTERNAL_API_DOWN', 'f' || n %% 10, 'down', 'CHECK_EXTERNAL', now(), now(), -n
        FROM generate_series(1, %s) n
        """,
        [count, count + others],
    )


def _replay(conn: psycopg.Connection, per_second: float) -> None:
    """A confirmed bulk action, as the API leaves it."""
    conn.execute(
        """
        WITH job AS (
            INSERT INTO procrastinate_jobs (queue_name, task_name, priority, args)
            SELECT 'dead_letters', 'app.tasks.dead_letters.run_bulk', 10,
                   jsonb_build_object('bulk_id', coalesce(max(id), 0) + 1) FROM afresh.bulk
            RETURNING id
        )
        INSERT INTO afresh.bulk (
            action, filter, token_hash, upper_id, previewed, expires_at, actor, reason, rate_per_second, stop_share,
            job_id, confirmed_at
        )
        SELECT 'replay', '{"task_name": "noop"}', sha256('measured'), max(l.id), count(*), now(), 'bench', 'measured',
               %s, 1, min(job.id), now()
        FROM afresh.dead_letter l, job WHERE l.task_name = 'noop'
        """,
        [per_second],
    )


def _peak_mb(bench: Bench, template: str) -> float:
    with bench.server.database(template) as conninfo, psycopg.connect(conninfo, autocommit=True) as conn:
        _replay(conn, FASTEST)
        measured = run("ours", "work", conninfo, concurrency=50)
        resolved, letters = conn.execute(_RESOLVED).fetchone() or (0, 0)
    if resolved != letters:
        raise RuntimeError(f"{resolved} of {letters} dead letters are resolved")
    return float(measured["peak_bytes"]) / 1e6


def _speed(bench: Bench, template: str, per_second: float | None = None) -> tuple[float, float]:
    """Jobs per second of those that are no replays, and of all, while letters are replayed; None: none is."""
    count = int(9_000 * bench.scale.seconds)
    with bench.server.database(template) as conninfo, psycopg.connect(conninfo, autocommit=True) as conn:
        before = conn.execute("SELECT max(id) FROM procrastinate_jobs").fetchone()
        load.ready(conn, count)
        if per_second is not None:
            _replay(conn, per_second)
        run("ours", "work", conninfo, concurrency=50)
        others, everything, seconds = conn.execute(_SPEED, before).fetchone() or (0, 0, 1)
    if others != count:
        raise RuntimeError(f"{count} jobs were put in and {others} ended")
    return float(others / seconds), float(everything / seconds)
