-- Putting jobs into their queues.

-- name: submit_job
-- One job, a row of options only where something differs from the default, and one for the audit if somebody is named.
WITH job AS (
    INSERT INTO procrastinate_jobs (
        queue_name, task_name, priority, lock, queueing_lock, args, scheduled_at, afresh_dependency
    )
    VALUES (
        %(queue_name)s, %(task_name)s, %(priority)s, %(lock)s, %(queueing_lock)s, %(args)s::jsonb, %(scheduled_at)s,
        %(dependency)s
    )
    RETURNING id, task_name
),
option AS (
    INSERT INTO afresh.job_option (
        job_id, max_retries, timeout, deadline, task_type, correlation_id, metadata, submitted_by, cost
    )
    SELECT job.id, given.*
    FROM job, (
        SELECT %(max_retries)s::integer, %(timeout)s::interval, %(deadline)s::timestamptz, %(task_type)s::text,
               %(correlation_id)s::text, %(metadata)s::jsonb, %(submitted_by)s::text, %(cost)s::text
    ) AS given (max_retries, timeout, deadline, task_type, correlation_id, metadata, submitted_by, cost)
    WHERE num_nonnulls(given.max_retries, given.timeout, given.deadline, given.task_type, given.correlation_id,
                       given.metadata, given.submitted_by, given.cost) > 0
),
audited AS (
    INSERT INTO afresh.audit (actor, action, target, details)
    SELECT %(actor)s::text, 'job.submit', job.id::text, jsonb_build_object('task', job.task_name) FROM job
    WHERE %(actor)s::text IS NOT NULL
)
SELECT id FROM job;

-- name: submit_job_once
-- As submit_job, if the key is free; no row: it is taken. The id is drawn first, so that key and job are one statement.
WITH claimed AS (
    INSERT INTO afresh.idempotency AS i (actor, route, key, body_hash, job_id, expires_at)
    VALUES (
        %(actor)s, %(route)s, %(key)s, %(body_hash)s, nextval(pg_get_serial_sequence('procrastinate_jobs', 'id')),
        now() + %(ttl)s::interval
    )
    ON CONFLICT (actor, route, key) DO UPDATE
    SET body_hash = excluded.body_hash, job_id = excluded.job_id, batch_id = NULL, repeats = 0, claimed_at = now(),
        expires_at = excluded.expires_at
    WHERE i.expires_at <= now()
    RETURNING job_id
),
job AS (
    INSERT INTO procrastinate_jobs (
        id, queue_name, task_name, priority, lock, queueing_lock, args, scheduled_at, afresh_dependency
    )
    SELECT claimed.job_id, given.*
    FROM claimed, (
        SELECT %(queue_name)s, %(task_name)s, %(priority)s::integer, %(lock)s::text, %(queueing_lock)s::text,
               %(args)s::jsonb, %(scheduled_at)s::timestamptz, %(dependency)s::text
    ) AS given
    RETURNING id, task_name
),
option AS (
    INSERT INTO afresh.job_option (
        job_id, max_retries, timeout, deadline, task_type, correlation_id, metadata, submitted_by, cost
    )
    SELECT job.id, given.*
    FROM job, (
        SELECT %(max_retries)s::integer, %(timeout)s::interval, %(deadline)s::timestamptz, %(task_type)s::text,
               %(correlation_id)s::text, %(metadata)s::jsonb, %(submitted_by)s::text, %(cost)s::text
    ) AS given (max_retries, timeout, deadline, task_type, correlation_id, metadata, submitted_by, cost)
    WHERE num_nonnulls(given.max_retries, given.timeout, given.deadline, given.task_type, given.correlation_id,
                       given.metadata, given.submitted_by, given.cost) > 0
),
audited AS (
    INSERT INTO afresh.audit (actor, action, target, details)
    SELECT %(actor)s, 'job.submit', job.id::text, jsonb_build_object('task', job.task_name) FROM job
)
SELECT id FROM job;

-- name: open_batch
-- A batch without jobs yet.
INSERT INTO afresh.batch (task_name, total, created_by) VALUES (%(task_name)s, %(total)s, %(actor)s) RETURNING id;

-- name: open_batch_once
-- As open_batch, if the key is free; no row: it is taken.
WITH claimed AS (
    INSERT INTO afresh.idempotency AS i (actor, route, key, body_hash, batch_id, expires_at)
    VALUES (
        %(actor)s, %(route)s, %(key)s, %(body_hash)s, nextval(pg_get_serial_sequence('afresh.batch', 'id')),
        now() + %(ttl)s::interval
    )
    ON CONFLICT (actor, route, key) DO UPDATE
    SET body_hash = excluded.body_hash, job_id = NULL, batch_id = excluded.batch_id, repeats = 0, claimed_at = now(),
        expires_at = excluded.expires_at
    WHERE i.expires_at <= now()
    RETURNING batch_id
)
INSERT INTO afresh.batch (id, task_name, total, created_by)
SELECT batch_id, %(task_name)s, %(total)s, %(actor)s FROM claimed
RETURNING id;

-- name: submit_batch
-- Many jobs of one batch, ids in the order given; one whose queueing lock is held is left out. They are inserted in
-- the order of their locks, so that two batches never wait for each other.
WITH given AS MATERIALIZED (
    SELECT nextval(pg_get_serial_sequence('procrastinate_jobs', 'id')) AS id, g.*
    FROM (
        SELECT e.position - 1 AS position, r.*
        FROM jsonb_array_elements(%(jobs)s::jsonb) WITH ORDINALITY AS e (job, position)
        CROSS JOIN LATERAL jsonb_to_record(e.job) AS r (
            queue_name text, task_name text, priority integer, lock text, queueing_lock text, args jsonb,
            scheduled_at timestamptz, dependency text, max_retries integer, timeout double precision,
            deadline timestamptz, task_type text, correlation_id text, metadata jsonb, submitted_by text,
            cost text
        )
        ORDER BY e.position
    ) AS g
),
job AS (
    INSERT INTO procrastinate_jobs (
        id, queue_name, task_name, priority, lock, queueing_lock, args, scheduled_at, afresh_dependency
    )
    SELECT id, queue_name, task_name, priority, lock, queueing_lock, args, scheduled_at, dependency
    FROM given
    ORDER BY queueing_lock NULLS FIRST, position
    ON CONFLICT (queueing_lock) WHERE status = 'todo' DO NOTHING
    RETURNING id
),
option AS (
    INSERT INTO afresh.job_option (
        job_id, max_retries, timeout, deadline, task_type, correlation_id, metadata, submitted_by, cost,
        batch_id
    )
    SELECT g.id, g.max_retries, make_interval(secs => g.timeout), g.deadline, g.task_type, g.correlation_id, g.metadata,
           g.submitted_by, g.cost, %(batch_id)s
    FROM given g JOIN job ON job.id = g.id
),
audited AS (
    INSERT INTO afresh.audit (actor, action, target, details)
    SELECT b.created_by, 'batch.submit', b.id::text,
           jsonb_build_object('task', b.task_name, 'jobs', (SELECT count(*) FROM job))
    FROM afresh.batch b
    WHERE b.id = %(batch_id)s
)
SELECT g.position::integer, g.id FROM given g JOIN job ON job.id = g.id ORDER BY g.position;

-- name: close_batch
-- Say how many jobs it came to, and what was left out.
UPDATE afresh.batch SET total = %(total)s, skipped = %(skipped)s::integer[] WHERE id = %(batch_id)s;

-- name: replay_job
-- A fresh job in the place of one that has ended: the same, its attempts at zero.
WITH job AS (
    INSERT INTO procrastinate_jobs (
        queue_name, task_name, priority, lock, queueing_lock, args, afresh_dependency
    )
    SELECT j.queue_name, j.task_name, j.priority, j.lock, j.queueing_lock, j.args, j.afresh_dependency
    FROM procrastinate_jobs j
    WHERE j.id = %(job_id)s
    RETURNING id
),
option AS (
    INSERT INTO afresh.job_option (
        job_id, max_retries, timeout, task_type, correlation_id, metadata, submitted_by, cost, replay_of
    )
    SELECT job.id, o.max_retries, o.timeout, o.task_type, o.correlation_id, o.metadata, o.submitted_by, o.cost,
           %(job_id)s
    FROM job LEFT JOIN afresh.job_option o ON o.job_id = %(job_id)s
)
SELECT id FROM job;

-- name: find_live_replay
-- The job that already waits or runs in the place of another.
SELECT j.id
FROM afresh.job_option o JOIN procrastinate_jobs j ON j.id = o.job_id
WHERE o.replay_of = %(job_id)s AND j.status IN ('todo', 'doing')
ORDER BY j.id LIMIT 1;

-- name: insert_job
-- One job as Procrastinate's own defer functions take it.
INSERT INTO procrastinate_jobs (
    queue_name, task_name, priority, lock, queueing_lock, args, scheduled_at, afresh_dependency
)
VALUES (
    %(queue_name)s, %(task_name)s, %(priority)s, %(lock)s, %(queueing_lock)s, %(args)s::jsonb, %(scheduled_at)s,
    %(dependency)s
)
RETURNING id;

-- name: insert_jobs
-- Many of them at once, in the order given.
INSERT INTO procrastinate_jobs (
    queue_name, task_name, priority, lock, queueing_lock, args, scheduled_at, afresh_dependency
)
SELECT g.queue_name, g.task_name, g.priority, g.lock, g.queueing_lock, g.args, g.scheduled_at, g.dependency
FROM jsonb_to_recordset(%(jobs)s::jsonb) AS g (
    queue_name text, task_name text, priority integer, lock text, queueing_lock text, args jsonb,
    scheduled_at timestamptz, dependency text
)
RETURNING id;

-- name: find_twin
-- The waiting job that holds a queueing lock.
SELECT id FROM procrastinate_jobs WHERE queueing_lock = %(queueing_lock)s AND status = 'todo';

-- name: find_queueing_lock
-- The queueing lock of a job.
SELECT queueing_lock FROM procrastinate_jobs WHERE id = %(job_id)s;

-- name: cancel_by_id
-- As Procrastinate cancels; and whoever waits behind the job's lock may go on.
SELECT cancelled.id, woken.*
FROM procrastinate_cancel_job_v1(%(job_id)s::bigint, %(abort)s, %(delete_job)s) AS cancelled (id)
LEFT JOIN LATERAL (
    SELECT pg_notify('afresh_wake', '') AS wake FROM procrastinate_jobs j WHERE j.id = cancelled.id AND j.lock IS NOT NULL
) AS woken ON true;
