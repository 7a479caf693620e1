-- Putting jobs into their queues.

-- name: submit_job
-- One job, and a row of options only where something differs from the default.
WITH job AS (
    INSERT INTO procrastinate_jobs (
        queue_name, task_name, priority, lock, queueing_lock, args, scheduled_at, afresh_dependency
    )
    VALUES (
        %(queue_name)s, %(task_name)s, %(priority)s, %(lock)s, %(queueing_lock)s, %(args)s::jsonb, %(scheduled_at)s,
        %(dependency)s
    )
    RETURNING id
),
option AS (
    INSERT INTO afresh.job_option (job_id, max_retries, timeout, deadline, task_type, correlation_id, metadata, submitted_by)
    SELECT job.id, given.*
    FROM job, (
        SELECT %(max_retries)s::integer, %(timeout)s::interval, %(deadline)s::timestamptz, %(task_type)s::text,
               %(correlation_id)s::text, %(metadata)s::jsonb, %(submitted_by)s::text
    ) AS given (max_retries, timeout, deadline, task_type, correlation_id, metadata, submitted_by)
    WHERE num_nonnulls(given.max_retries, given.timeout, given.deadline, given.task_type, given.correlation_id,
                       given.metadata, given.submitted_by) > 0
)
SELECT id FROM job;

-- name: insert_job
-- One job as Procrastinate's own defer functions take it.
INSERT INTO procrastinate_jobs (queue_name, task_name, priority, lock, queueing_lock, args, scheduled_at)
VALUES (
    %(queue_name)s, %(task_name)s, %(priority)s, %(lock)s, %(queueing_lock)s, %(args)s::jsonb, %(scheduled_at)s
)
RETURNING id;

-- name: insert_jobs
-- Many of them at once, in the order given.
INSERT INTO procrastinate_jobs (queue_name, task_name, priority, lock, queueing_lock, args, scheduled_at)
SELECT g.queue_name, g.task_name, g.priority, g.lock, g.queueing_lock, g.args, g.scheduled_at
FROM jsonb_to_recordset(%(jobs)s::jsonb) AS g (
    queue_name text, task_name text, priority integer, lock text, queueing_lock text, args jsonb,
    scheduled_at timestamptz
)
RETURNING id;

-- name: find_twin
-- The waiting job that holds a queueing lock.
SELECT id FROM procrastinate_jobs WHERE queueing_lock = %(queueing_lock)s AND status = 'todo';
