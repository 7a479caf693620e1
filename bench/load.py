"""Jobs to put into a database before it is measured, by plain SQL and the same for both contenders."""

from datetime import timedelta
from typing import LiteralString

import psycopg

LIVED_IN = 10_000


def history(conn: psycopg.Connection) -> None:
    """What a database that has been at work holds: finished jobs with their events.

    On tables that are empty when a session begins, Postgres keeps plans that read the whole table for each row.
    """
    ready(conn, LIVED_IN)
    conn.execute("UPDATE procrastinate_jobs SET status = 'doing'")
    conn.execute("UPDATE procrastinate_jobs SET status = 'succeeded', attempts = 1")


def ready(conn: psycopg.Connection, count: int, *, task: str = "noop") -> None:
    """Jobs that may run now, older than none that is there."""
    conn.execute(
        "INSERT INTO procrastinate_jobs (queue_name, task_name) SELECT 'default', %s FROM generate_series(1, %s)",
        [task, count],
    )


def mixed(conn: psycopg.Connection, count: int) -> None:
    """As `ready`, and every tenth of them fails."""
    conn.execute(
        "INSERT INTO procrastinate_jobs (queue_name, task_name)"
        " SELECT 'default', CASE n %% 10 WHEN 0 THEN 'fail' ELSE 'noop' END FROM generate_series(1, %s) n",
        [count],
    )


def finished(conn: psycopg.Connection, count: int, *, days_ago: int) -> None:
    """Jobs that succeeded so many days ago, with their events, and an option to every fifth."""
    first = conn.execute("SELECT coalesce(max(id), 0) + 1 FROM procrastinate_jobs").fetchone()
    _past_triggers(
        conn,
        "INSERT INTO procrastinate_jobs (queue_name, task_name, status, attempts)"
        " SELECT 'default', 'noop', 'succeeded', 1",
        count,
    )
    given = {"first": first and first[0], "ago": timedelta(days=days_ago)}
    conn.execute(
        "INSERT INTO procrastinate_events (job_id, type, at)"
        " SELECT j.id, e.type::procrastinate_job_event_type, now() - %(ago)s FROM procrastinate_jobs j"
        " CROSS JOIN unnest(ARRAY['deferred', 'started', 'succeeded']) AS e (type)"
        " WHERE j.id >= %(first)s ORDER BY j.id",
        given,
    )
    conn.execute(
        "INSERT INTO afresh.job_option (job_id, correlation_id)"
        " SELECT id, 'order-' || id FROM procrastinate_jobs WHERE id >= %(first)s AND id %% 5 = 0",
        given,
    )


def lived_with(conn: psycopg.Connection, count: int) -> None:
    """Jobs of a Procrastinate without Afresh, every other one finished."""
    _past_triggers(
        conn,
        "INSERT INTO procrastinate_jobs (queue_name, task_name, status, attempts, args)"
        " SELECT 'queue' || n %% 5, 'task' || n %% 20, CASE n %% 2 WHEN 0 THEN 'succeeded' ELSE 'todo' END"
        "::procrastinate_job_status, (n + 1) %% 2, jsonb_build_object('order', n)",
        count,
    )


def _past_triggers(conn: psycopg.Connection, insert: LiteralString, count: int) -> None:
    conn.execute("ALTER TABLE procrastinate_jobs DISABLE TRIGGER USER")
    conn.execute(insert + " FROM generate_series(1, %s) AS n", [count])
    conn.execute("ALTER TABLE procrastinate_jobs ENABLE TRIGGER USER")


def scheduled(conn: psycopg.Connection, count: int) -> None:
    """Jobs for tomorrow, a second apart."""
    conn.execute(
        "INSERT INTO procrastinate_jobs (queue_name, task_name, scheduled_at)"
        " SELECT 'default', 'noop', now() + interval '1 day' + g * interval '1 second' FROM generate_series(1, %s) g",
        [count],
    )


def of_paused_queue(conn: psycopg.Connection, count: int) -> None:
    """Jobs of a queue that somebody paused."""
    conn.execute(
        "INSERT INTO procrastinate_jobs (queue_name, task_name) SELECT 'paused', 'noop' FROM generate_series(1, %s)",
        [count],
    )
    conn.execute("INSERT INTO afresh.hold VALUES ('queue', 'paused', 'measured', 'bench')")


def of_open_dependency(conn: psycopg.Connection, count: int) -> None:
    """Jobs whose dependency is down."""
    conn.execute(
        "INSERT INTO procrastinate_jobs (queue_name, task_name, afresh_dependency)"
        " SELECT 'default', 'noop', 'down' FROM generate_series(1, %s)",
        [count],
    )
    conn.execute(
        "INSERT INTO afresh.breaker (name, state, generation, changed_at, until, probe_at, permits)"
        " SELECT 'down', 'open', 1, now(), at, at, '[]' FROM (SELECT now() + interval '1 day') AS later (at)"
    )
    conn.execute("INSERT INTO afresh.hold VALUES ('dependency', 'down', 'measured', 'breaker', now(), 1)")


def failures(conn: psycopg.Connection, count: int) -> None:
    """Failed attempts of a week, in ten thousands of jobs, twenty tasks, five types and a thousand groups."""
    conn.execute(
        """
        INSERT INTO afresh.attempt (
            job_id, attempt, outcome, counted, task_name, queue_name, started_at, ended_at, exception_type, message,
            traceback, failure_type, confidence, remediation, fingerprint, decision, delay, next_run_at, reason
        )
        SELECT 1000000 + n / 4, n %% 4 + 1, 'failed', true, 'task' || kind %% 20, 'queue' || kind %% 4,
               ended - interval '1 s', ended, 'lib.Error' || kind %% 50, 'it was refused by host ' || n,
               repeat('File "app/' || kind || '.py", line 10, in call' || E'\n', 12),
               (ARRAY['TRANSIENT_NETWORK', 'TRANSIENT_TIMEOUT', 'EXTERNAL_API_DOWN', 'UNKNOWN',
                      'PERMANENT_AUTH'])[kind %% 5 + 1],
               0.9, 'AUTO_RETRY', 'group' || kind,
               CASE WHEN n %% 4 = 3 THEN 'dead_letter' ELSE 'retry' END::afresh.decision,
               CASE WHEN n %% 4 < 3 THEN interval '1 min' END, CASE WHEN n %% 4 < 3 THEN ended + interval '1 min' END,
               'why'
        FROM (SELECT n, (1000 * power(n * 7919::bigint %% 10007 / 10007.0, 3))::integer AS kind,
                     now() - interval '7 days' * (1 - n / %(count)s::double precision) AS ended
              FROM generate_series(1, %(count)s) AS n) AS made
        """,
        {"count": count},
    )


def folded(conn: psycopg.Connection) -> None:
    """All failures folded, as maintenance leaves them every minute."""
    conn.execute("SELECT afresh.note_failures()")
    while conn.execute("SELECT FROM afresh.fold_failures(5000) AS folded WHERE folded > 0").fetchone() is not None:
        pass
