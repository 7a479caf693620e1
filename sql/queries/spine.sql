-- What a worker runs: claim, settle, rescue.

-- name: claim_jobs
-- Take runnable jobs.
SELECT * FROM afresh.claim(%s, %s, %s, %s, %s, %s, %s, %s::jsonb);

-- name: claim_announced
-- Take one job by its number, as a claim returns it. Only where nothing at all is held back or limited, and without a
-- lock: whatever else may stand in its way is the claim's to judge. It may be in another queue by now than where it was
-- heard of.
UPDATE procrastinate_jobs j
SET status = 'doing', worker_id = %(worker)s, afresh_claim = %(claim)s
FROM (
    SELECT t.id
    FROM procrastinate_jobs t
    WHERE t.id = %(job_id)s AND t.status = 'todo' AND t.scheduled_at IS NULL AND t.lock IS NULL AND t.attempts = 0
      AND (%(queues)s::text[] IS NULL OR t.queue_name = ANY (%(queues)s::text[]))
      AND NOT EXISTS (SELECT FROM afresh.hold) AND NOT EXISTS (SELECT FROM afresh.job_limit)
    FOR UPDATE SKIP LOCKED
) free
LEFT JOIN afresh.job_option o ON o.job_id = free.id
WHERE j.id = free.id
RETURNING j.id, j.queue_name::text, j.task_name::text, j.priority, j.lock, j.queueing_lock, j.args, j.scheduled_at,
          j.attempts, j.abort_requested, j.afresh_dependency,
          o.max_retries, o.timeout, o.deadline, o.task_type, o.correlation_id, o.metadata, o.waited,
          NULL::text[] AS fingerprints, o.cost;

-- name: find_missed
-- Jobs that run under this worker's name without its knowledge, as a claim returns them but only with what can always
-- be read, and the number of that claim.
SELECT j.id, j.queue_name::text, j.task_name::text, j.priority, j.lock, j.queueing_lock, '{}'::jsonb AS args,
       NULL AS scheduled_at, j.attempts, j.abort_requested, j.afresh_dependency,
       NULL AS max_retries, NULL AS timeout, NULL AS deadline, NULL AS task_type, NULL AS correlation_id,
       NULL AS metadata, NULL AS waited, NULL AS fingerprints, NULL AS cost, j.afresh_claim
FROM procrastinate_jobs j
WHERE j.worker_id = %(worker)s AND j.status = 'doing' AND j.id <> ALL (%(known)s::bigint[])
ORDER BY j.id;

-- name: read_missed
-- One of them, with all that a claim returns.
SELECT j.id, j.queue_name::text, j.task_name::text, j.priority, j.lock, j.queueing_lock, j.args, j.scheduled_at,
       j.attempts, j.abort_requested, j.afresh_dependency,
       o.max_retries, o.timeout, o.deadline, o.task_type, o.correlation_id, o.metadata, o.waited,
       (SELECT array_agg(a.fingerprint ORDER BY a.id)
        FROM afresh.attempt a WHERE a.job_id = j.id AND a.outcome = 'failed') AS fingerprints,
       o.cost
FROM procrastinate_jobs j
LEFT JOIN afresh.job_option o ON o.job_id = j.id
WHERE j.id = %(job_id)s AND j.status = 'doing' AND j.afresh_claim = %(claim)s;

-- name: find_next_due
-- Seconds until a job falls due, or a limit lets one start, by the database's clock: the worker's may be wrong. The
-- epochs are subtracted, because a job may wait for 'infinity', from which Postgres 16 subtracts no time.
SELECT (extract(epoch FROM afresh.next_due(%s, %s)) - extract(epoch FROM clock_timestamp()))::double precision;

-- name: settle_successes
-- Write the ends of runs that succeeded.
SELECT * FROM afresh.settle_successes(%s, %s, %s, %s, %s, %s, %s, %s::jsonb);

-- name: settle_endings
-- Write the ends of all other runs.
SELECT * FROM afresh.settle_endings(%s, %s::jsonb, %s, %s, %s::jsonb);

-- name: release_jobs
-- Give claimed jobs that never started back to the queue; the rows are those that stay with the worker.
WITH mine AS (
    SELECT j.id, j.queueing_lock, row_number() OVER (PARTITION BY j.queueing_lock ORDER BY j.id) AS place
    FROM unnest(%(ids)s::bigint[], %(claims)s::bigint[]) AS g (id, claim)
    JOIN procrastinate_jobs j ON j.id = g.id
    WHERE j.status = 'doing' AND j.worker_id = %(worker)s AND j.afresh_claim = g.claim
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

-- name: find_silent
-- Workers that run jobs and have not been heard of for too long.
SELECT w.id, w.last_heartbeat
FROM procrastinate_workers w
WHERE w.last_heartbeat > 'epoch' AND w.last_heartbeat < now() - %(stalled_after)s
  AND EXISTS (SELECT FROM procrastinate_jobs j WHERE j.worker_id = w.id AND j.status = 'doing');

-- name: find_stalled
-- Jobs whose worker is gone, has stopped, or is one of those found silent, with how often they were rescued before.
SELECT j.id, j.task_name, j.queue_name, j.attempts, o.correlation_id, o.task_type, o.max_retries, j.worker_id,
       coalesce(r.rescues, 0) AS rescues
FROM procrastinate_jobs j
LEFT JOIN procrastinate_workers w ON w.id = j.worker_id
LEFT JOIN afresh.rescue r ON r.job_id = j.id
LEFT JOIN afresh.job_option o ON o.job_id = j.id
WHERE j.status = 'doing' AND (w.id IS NULL OR w.last_heartbeat = 'epoch' OR w.id = ANY (%(silent)s::bigint[]))
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
-- Say that a worker lives, and what it is; no row: it was pruned. Under an earlier registration it has stopped.
WITH beat AS (
    UPDATE procrastinate_workers SET last_heartbeat = now() WHERE id = %(worker_id)s RETURNING id
),
former AS (
    UPDATE afresh.worker w SET stopped_at = now()
    FROM beat
    WHERE w.host = %(host)s AND w.pid = %(pid)s AND w.started_at = %(started_at)s AND w.worker_id <> beat.id
      AND w.stopped_at IS NULL
)
INSERT INTO afresh.worker AS w (
    worker_id, name, host, pid, version, queues, concurrency, running, overloaded, memory_bytes, host_memory_percent,
    host_cpu_percent, host_disk_percent, started_at, budgets
)
SELECT id, %(name)s, %(host)s, %(pid)s, %(version)s, %(queues)s::text[], %(concurrency)s, %(running)s, %(overloaded)s,
       %(memory_bytes)s, %(host_memory_percent)s, %(host_cpu_percent)s, %(host_disk_percent)s, %(started_at)s,
       %(budgets)s::jsonb
FROM beat
ON CONFLICT (worker_id) DO UPDATE
SET running = excluded.running, overloaded = excluded.overloaded, memory_bytes = excluded.memory_bytes,
    host_memory_percent = excluded.host_memory_percent, host_cpu_percent = excluded.host_cpu_percent,
    host_disk_percent = excluded.host_disk_percent, budgets = excluded.budgets, beat_at = now(), stopped_at = NULL
RETURNING worker_id;

-- name: sign_off
-- Say that a worker has stopped. Its row stays, because deleting it would rewrite every job that it ran; a heartbeat of
-- 1970 is one that everybody who judges by the clock, Procrastinate's own prune included, takes for gone at once.
WITH told AS (UPDATE afresh.worker SET stopped_at = now(), running = 0 WHERE worker_id = %(worker_id)s)
UPDATE procrastinate_workers SET last_heartbeat = 'epoch' WHERE id = %(worker_id)s;

-- name: purge_workers
-- Forget workers that have stopped, or were last heard of a day ago, once no job names them any more. A few at a time:
-- for each row deleted Postgres looks through all jobs for its name, and no index is kept that only this would need.
DELETE FROM procrastinate_workers
WHERE id IN (
    SELECT w.id
    FROM procrastinate_workers w
    WHERE w.last_heartbeat < now() - interval '1 day'
      AND w.id <> ALL (ARRAY(SELECT DISTINCT j.worker_id FROM procrastinate_jobs j WHERE j.worker_id IS NOT NULL))
    ORDER BY w.id
    LIMIT 10
);
