"""A database that has been at work for a month: jobs of every state with their events, attempts and options.

By plain SQL past the triggers, which would take minutes to write the same events.
"""

import psycopg

from app.store.dead_letters import SQL

from . import load

BATCH = 10_000
"""Jobs of one batch; every fifth stretch of so many jobs is one."""

_JOBS = """
    INSERT INTO procrastinate_jobs (
        queue_name, task_name, priority, args, status, attempts, scheduled_at, afresh_dependency
    )
    SELECT 'queue_' || g %% 20, 'tasks.kind_' || g %% 30, 5, jsonb_build_object('number', g),
           (CASE WHEN g %% 100 < 93 THEN 'succeeded' WHEN g %% 100 < 96 THEN 'failed'
                 WHEN g %% 100 = 96 THEN 'cancelled' ELSE 'todo' END)::procrastinate_job_status,
           (g %% 100 < 94 OR g %% 100 = 97)::integer + 2 * (g %% 100 IN (93, 94, 95))::integer,
           CASE WHEN g %% 100 IN (97, 98) THEN now() + interval '1 minute' + g %% 100000 * interval '1 second' END,
           CASE WHEN g %% 200 = 199 THEN 'shop-' || g / 200 %% 20 END
    FROM generate_series(1, %s) g
"""

# A month that ends now, three events to a job.
_EVENTS = """
    INSERT INTO procrastinate_events (job_id, type, at)
    SELECT j.id, e.type::procrastinate_job_event_type,
           now() - interval '30 days' * (ids.last - j.id) / greatest(1, ids.last - ids.first)
           + e.number * interval '1 second'
    FROM procrastinate_jobs j
    CROSS JOIN (SELECT max(id) AS last, min(id) AS first FROM procrastinate_jobs) ids
    CROSS JOIN LATERAL (VALUES
        (0, 'deferred'), (1, 'started'),
        (2, CASE j.status WHEN 'todo' THEN 'deferred_for_retry' ELSE j.status::text END)
    ) AS e (number, type)
    WHERE j.status <> 'todo' OR e.number = 0 OR j.attempts > 0
    ORDER BY j.id, e.number
"""

_ATTEMPTS = """
    INSERT INTO afresh.attempt (
        job_id, attempt, outcome, counted, task_name, queue_name, started_at, ended_at, exception_type, message,
        failure_type, confidence, remediation, fingerprint, decision, delay, next_run_at, reason, recorded_at
    )
    SELECT j.id, n, 'failed', true, j.task_name, j.queue_name, e.at, e.at + interval '1 second', 'shop.Refused',
           'order ' || j.id || ' was refused by warehouse ' || j.id % 7, 'TRANSIENT_NETWORK', 0.9, 'AUTO_RETRY',
           md5((j.id % 50)::text), d.decision, d.delay, e.at + d.delay, 'as measured', e.at + interval '1 second'
    FROM procrastinate_jobs j
    JOIN procrastinate_events e ON e.job_id = j.id AND e.type = 'started'
    CROSS JOIN LATERAL generate_series(1, j.attempts) n
    CROSS JOIN LATERAL (
        SELECT CASE WHEN n = j.attempts AND j.status = 'failed' THEN 'dead_letter' ELSE 'retry' END::afresh.decision,
               CASE WHEN n = j.attempts AND j.status = 'failed' THEN NULL ELSE interval '1 minute' END
    ) AS d (decision, delay)
    WHERE j.status IN ('failed', 'todo') AND j.attempts > 0
"""

_DEAD_LETTERS = """
    INSERT INTO afresh.dead_letter (
        job_id, cause, task_name, queue_name, priority, args, attempts, failure_type, fingerprint, exception_type,
        message, remediation, reason, first_died_at, died_at, died_as
    )
    SELECT a.job_id, 'retries_spent', a.task_name, a.queue_name, 5, '{}', a.attempt, a.failure_type, a.fingerprint,
           a.exception_type, a.message, a.remediation, a.reason, a.ended_at, a.ended_at, a.job_id
    FROM afresh.attempt a WHERE a.decision = 'dead_letter'
"""

# What died more than twenty days ago was given up by one bulk action: a third of the letters.
_BULK = (
    """
    INSERT INTO afresh.bulk (
        action, filter, token_hash, upper_id, previewed, expires_at, actor, reason, rate_per_second, stop_share, job_id,
        confirmed_at, cursor, acted, outcome, ended_at
    )
    SELECT 'abandon', jsonb_build_object('died_to', now() - interval '20 days'), sha256('kept'), max(id), count(*),
           now(), 'ada', 'too old', 50, 0.5, 1, now(), max(id), count(*), 'done', now()
    FROM afresh.dead_letter WHERE died_at < now() - interval '20 days'
    """,
    """
    UPDATE afresh.dead_letter SET status = 'abandoned', note = 'too old', bulk_id = 1
    WHERE died_at < now() - interval '20 days'
    """,
)

_OPTIONS = """
    INSERT INTO afresh.job_option (job_id, correlation_id, metadata, task_type, submitted_by, batch_id)
    SELECT id, 'order-' || id, jsonb_build_object('customer', id %% 1000, 'country', id %% 3),
           CASE WHEN id %% 2 = 0 THEN 'email' END, 'shop', CASE WHEN id / %(size)s %% 5 = 0 THEN id / %(size)s + 1 END
    FROM procrastinate_jobs WHERE id %% 5 = 0 OR id / %(size)s %% 5 = 0
"""

_BATCHES = """
    INSERT INTO afresh.batch (id, task_name, total, created_by)
    SELECT batch_id, 'tasks.kind_1', count(*), 'shop' FROM afresh.job_option
    WHERE batch_id IS NOT NULL GROUP BY batch_id
"""

# Thirty tasks and twenty queues, by the minute for two days, and by the hour and the day for ninety.
_SAMPLES = (
    """
    INSERT INTO afresh.task_sample
    SELECT w.seconds, 'tasks.kind_' || k, date_trunc('minute', now()) - n * w.seconds * interval '1 second',
           100, 90, 10, 8, 2, 0, 0, 50, 5, array_fill(6::bigint, ARRAY[15])
    FROM (VALUES (60, 2880), (3600, 2160)) AS w (seconds, steps), generate_series(1, w.steps) n,
         generate_series(0, 29) k
    """,
    """
    INSERT INTO afresh.queue_sample
    SELECT w.seconds, 'queue_' || k, date_trunc('minute', now()) - n * w.seconds * interval '1 second', 10, 20, 5, 3
    FROM (VALUES (60, 2880), (3600, 2160)) AS w (seconds, steps), generate_series(1, w.steps) n,
         generate_series(0, 19) k
    """,
    """
    INSERT INTO afresh.service_sample
    SELECT w.seconds, date_trunc('minute', now()) - n * w.seconds * interval '1 second', 1, 3, 50
    FROM (VALUES (60, 2880), (3600, 2160)) AS w (seconds, steps), generate_series(1, w.steps) n
    """,
    "SELECT afresh.sum_service(60, '-infinity', 'infinity')",
    "SELECT afresh.sum_service(3600, '-infinity', 'infinity')",
    """
    SELECT afresh.sum_samples(86400, date_trunc('day', now(), 'UTC') - n * interval '1 day')
    FROM generate_series(0, 90) n
    """,
)

# Twenty dependencies are down, and half of what is ready waits for them.
_OUTAGES = (
    """
    INSERT INTO afresh.breaker (
        name, state, generation, changed_at, cause, failure_type, until, break_seconds, probe_at
    )
    SELECT 'shop-' || n, 'open', 1, now(), '5 of 5 calls failed', 'TRANSIENT_NETWORK',
           now() + interval '10 minutes', 600, now() + interval '1 minute'
    FROM generate_series(0, 19) n
    """,
    """
    INSERT INTO afresh.hold (kind, name, reason, held_by, generation)
    SELECT 'dependency', name, cause, 'breaker', generation FROM afresh.breaker
    """,
)

# What was handed in over HTTP, and what operators did.
_AUDIT = """
    INSERT INTO afresh.audit (at, actor, action, target, reason, details)
    SELECT now() - n * interval '26 seconds', 'key-' || n % 5, 'job.submit', 'job:' || n, NULL, '{"queue": "queue_3"}'
    FROM generate_series(1, 100000) n
"""

_WORKERS = """
    WITH live AS (
        INSERT INTO procrastinate_workers (last_heartbeat) SELECT now() FROM generate_series(1, 50) RETURNING id
    )
    INSERT INTO afresh.worker (
        worker_id, name, host, pid, version, concurrency, running, overloaded, memory_bytes, host_memory_percent,
        host_cpu_percent, host_disk_percent, started_at
    )
    SELECT id, 'worker-' || id, 'host', id, '1', 50, 0, false, 100000000, 50, 50, 50, now() FROM live
"""


def a_month(conn: psycopg.Connection, count: int) -> None:
    """`count` jobs and all that is kept of them: about three events each, 3 % of them dead, 20 % with options.

    Also an outage of twenty dependencies, and an audit of 100 000 lines.
    """
    conn.execute("ALTER TABLE procrastinate_jobs DISABLE TRIGGER USER")
    conn.execute(_JOBS, [count])
    conn.execute("ALTER TABLE procrastinate_jobs ENABLE TRIGGER USER")
    conn.execute("TRUNCATE procrastinate_events")
    for statement in (_EVENTS, _ATTEMPTS, _DEAD_LETTERS, *_BULK):
        conn.execute(statement)
    conn.execute(_OPTIONS, {"size": BATCH})
    conn.execute(_BATCHES)
    for statement in (*_SAMPLES, _WORKERS, *_OUTAGES, _AUDIT):
        conn.execute(statement)
    load.folded(conn)
    conn.execute(SQL["fold_counts"])
