-- What a worker runs: claim, settle, rescue.

-- name: claim_jobs
-- Take runnable jobs.
SELECT * FROM afresh.claim(%s, %s, %s, %s, %s, %s);

-- name: find_next_due
-- When the next job that waits for its time falls due.
SELECT afresh.next_due(%s);

-- name: settle_successes
-- Write the ends of runs that succeeded.
SELECT * FROM afresh.settle_successes(%s, %s, %s, %s, %s, %s);

-- name: settle_endings
-- Write the ends of all other runs.
SELECT * FROM afresh.settle_endings(%s, %s::jsonb, %s, %s);

-- name: release_jobs
-- Give claimed jobs that never started back to the queue; the rows are those that stay with the worker.
WITH mine AS (
    SELECT id, queueing_lock, abort_requested, row_number() OVER (PARTITION BY queueing_lock ORDER BY id) AS place
    FROM procrastinate_jobs
    WHERE id = ANY (%(ids)s) AND status = 'doing' AND worker_id = %(worker)s
),
released AS (
    UPDATE procrastinate_jobs j
    SET status = 'todo', worker_id = NULL
    FROM mine
    WHERE j.id = mine.id AND j.status = 'doing' AND j.worker_id = %(worker)s AND NOT j.abort_requested
      AND (mine.queueing_lock IS NULL OR mine.place = 1 AND NOT EXISTS (
          SELECT FROM procrastinate_jobs t WHERE t.queueing_lock = mine.queueing_lock AND t.status = 'todo'))
    RETURNING j.id, pg_notify('afresh_wake', '')  -- Here, because a part of a query that gives no row may never run.
)
SELECT id FROM mine WHERE id NOT IN (SELECT id FROM released);

-- name: find_stalled
-- Jobs whose worker is gone, or silent for too long, with how often they were rescued before.
SELECT j.id, j.task_name, j.queue_name, j.attempts, j.worker_id, coalesce(r.rescues, 0) AS rescues
FROM procrastinate_jobs j
LEFT JOIN procrastinate_workers w ON w.id = j.worker_id
LEFT JOIN afresh.rescue r ON r.job_id = j.id
WHERE j.status = 'doing' AND (w.id IS NULL OR w.last_heartbeat < now() - %(stalled_after)s)
ORDER BY j.id
LIMIT 1000;

-- name: advance_retry
-- Bring a retry forward, and its record with it, unless something else has happened to the job.
WITH job AS (
    UPDATE procrastinate_jobs SET scheduled_at = %(at)s
    WHERE id = %(job_id)s AND status = 'todo' AND scheduled_at = %(planned)s AND scheduled_at > %(at)s
    RETURNING id
)
UPDATE afresh.attempt a SET next_run_at = %(at)s, delay = %(at)s - a.ended_at
FROM job, pg_notify('afresh_wake', '')
WHERE a.job_id = job.id AND a.next_run_at = %(planned)s;

-- name: beat_heart
-- Say that a worker lives; no row: it was pruned.
UPDATE procrastinate_workers SET last_heartbeat = now() WHERE id = %s RETURNING id;
