-- What operators do to jobs and queues.

-- name: lock_job
-- A job's state, and nobody changes it until the transaction ends.
SELECT j.status::text AS status, j.scheduled_at, j.task_name,
       afresh.job_state(
           j.status, j.scheduled_at, j.attempts > 0 OR EXISTS (SELECT FROM afresh.attempt a WHERE a.job_id = j.id)
       ) AS state
FROM procrastinate_jobs j
WHERE j.id = %(job_id)s
FOR UPDATE OF j;

-- name: cancel_job
-- End a job that waits. Whoever waits behind its lock may go on.
WITH cancelled AS (
    UPDATE procrastinate_jobs SET status = 'cancelled' WHERE id = %(job_id)s AND status = 'todo' RETURNING lock
)
SELECT pg_notify('afresh_wake', '') FROM cancelled WHERE lock IS NOT NULL;

-- name: request_abort
-- Ask the worker of a running job to stop it; Procrastinate's trigger tells it at once.
UPDATE procrastinate_jobs SET abort_requested = true WHERE id = %(job_id)s AND status = 'doing';

-- name: reschedule_job
-- Move a job that waits. Its attempts stay. What is null stays, save for the time if it is to run at once. Who asks for a
-- job now, or at another time than the end of the dear hours, waits for it: it is put off for them no more.
WITH moved AS (
    UPDATE procrastinate_jobs
    SET scheduled_at = CASE WHEN %(at_once)s THEN NULL ELSE coalesce(%(run_at)s::timestamptz, scheduled_at) END,
        priority = coalesce(%(priority)s::integer, priority),
        queue_name = coalesce(%(queue)s::text, queue_name)
    WHERE id = %(job_id)s AND status = 'todo'
    RETURNING id
),
wanted AS (
    INSERT INTO afresh.job_option AS o (job_id, cost)
    SELECT id, 'normal' FROM moved
    WHERE %(at_once)s OR (%(run_at)s::timestamptz IS NOT NULL
                          AND EXISTS (SELECT FROM afresh.job_option w WHERE w.job_id = id AND w.waited ? 'off_peak'))
    ON CONFLICT (job_id) DO UPDATE SET cost = 'normal'
)
SELECT pg_notify('afresh_wake', '') FROM moved;

-- name: count_waiting
-- Jobs of a queue that wait, counted up to a limit.
SELECT count(*) FROM (
    SELECT FROM procrastinate_jobs WHERE queue_name = %(queue)s AND status = 'todo' LIMIT %(most)s
) AS waiting;

-- name: clear_queue
-- Cancel the oldest jobs of a queue that wait; those that a worker is about to take are its own.
WITH chosen AS (
    SELECT id FROM procrastinate_jobs WHERE queue_name = %(queue)s AND status = 'todo'
    ORDER BY id LIMIT %(most)s FOR UPDATE SKIP LOCKED
),
cancelled AS (
    UPDATE procrastinate_jobs j SET status = 'cancelled' FROM chosen WHERE j.id = chosen.id RETURNING j.lock
),
woken AS (SELECT pg_notify('afresh_wake', '') FROM cancelled WHERE lock IS NOT NULL LIMIT 1)
SELECT count(*), (SELECT count(*) FROM woken) FROM cancelled;
