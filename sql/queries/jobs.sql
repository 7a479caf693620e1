-- Jobs and attempts, as the API and the dashboard show them. What is asked for takes the place of /* filters */.

-- name: find_job
-- One job with everything that is known of it.
SELECT id AS job_id, task_name, queue_name AS queue, status, state, waiting_for, priority, attempts, max_retries,
       timeout, deadline, created_at, scheduled_at, started_at, ended_at, lock, queueing_lock, dependency,
       abort_requested, worker_id, task_type, correlation_id, batch_id, replay_of, replayed_as, dead_letter_id, rescues, args,
       metadata, submitted_by, result, last_exception_type, last_message, last_failure_type, last_reason, last_failed_at,
       newest.fraction AS progress, newest.message AS progress_message,
       coalesce((SELECT jsonb_agg(jsonb_build_object('name', k.name, 'version', k.version, 'value', k.value,
                                                     'attempt', k.attempt, 'saved_at', k.saved_at)
                                  ORDER BY k.saved_at, k.name)
                 FROM afresh.checkpoint k WHERE k.job_id = id), '[]') AS checkpoints
FROM afresh.jobs
LEFT JOIN LATERAL (
    SELECT p.fraction, p.message FROM afresh.progress p WHERE p.job_id = id ORDER BY p.number DESC LIMIT 1
) newest ON true
WHERE id = %(job_id)s;

-- name: find_origin
-- The first of the jobs in whose place a job runs, or itself, and when it was handed in. A replay is younger than what
-- it replays, so the chain ends.
WITH RECURSIVE chain AS (
    SELECT %(job_id)s::bigint AS id
    UNION ALL
    SELECT o.replay_of FROM chain c JOIN afresh.job_option o ON o.job_id = c.id WHERE o.replay_of IS NOT NULL
)
SELECT first.id, (SELECT min(e.at) FROM procrastinate_events e WHERE e.job_id = first.id AND e.type = 'deferred')
FROM (SELECT min(id) AS id FROM chain) AS first;

-- name: find_result
-- What a job returned, or what is known of it until then.
SELECT j.id AS job_id, j.state, j.result, r.note, j.last_failure_type, j.last_message
FROM afresh.jobs j
LEFT JOIN afresh.result r ON r.job_id = j.id
WHERE j.id = %(job_id)s;

-- name: list_jobs
-- One page, newest first. The page is found in the bare table, and only its jobs are looked at closely: OFFSET 0
-- keeps the planner from looking at all of them first.
WITH page AS MATERIALIZED (
    SELECT j.id
    FROM procrastinate_jobs j
    WHERE (%(before)s::bigint IS NULL OR j.id < %(before)s::bigint)
    /* filters */
    ORDER BY j.id /* few */ DESC
    LIMIT %(limit)s::integer OFFSET %(offset)s::integer
)
SELECT v.id AS job_id, v.task_name, v.queue_name AS queue, v.status, v.state, v.waiting_for, v.priority, v.attempts,
       v.max_retries, v.timeout, v.deadline, v.created_at, v.scheduled_at, v.started_at, v.ended_at, v.lock,
       v.queueing_lock, v.dependency, v.abort_requested, v.worker_id, v.task_type, v.correlation_id, v.batch_id,
       v.replay_of, v.replayed_as, v.dead_letter_id, v.rescues, v.args, v.metadata, v.submitted_by,
       v.last_exception_type, v.last_message, v.last_failure_type, v.last_reason, v.last_failed_at
FROM page
CROSS JOIN LATERAL (SELECT * FROM afresh.jobs v WHERE v.id = page.id OFFSET 0) v
ORDER BY v.id DESC;

-- name: count_jobs
-- How many jobs a filter lets through, counted up to a limit.
SELECT count(*) AS total
FROM (
    SELECT
    FROM procrastinate_jobs j
    WHERE true
    /* filters */
    LIMIT %(most)s::integer
) AS counted;

-- name: estimate_jobs
-- How many jobs the planner expects; its first node says so.
EXPLAIN (FORMAT JSON)
SELECT
FROM procrastinate_jobs j
WHERE true
/* filters */;

-- name: search_jobs
-- Of the newest jobs that the other filters let through, so many at most: which ones fit, and where it stopped.
SELECT count(*) AS looked_at, min(j.id) AS last,
       coalesce(array_agg(j.id ORDER BY j.id DESC) FILTER (WHERE true /* searched */), '{}') AS found
FROM (
    SELECT * FROM procrastinate_jobs j
    WHERE (%(before)s::bigint IS NULL OR j.id < %(before)s::bigint)
    /* filters */
    ORDER BY j.id DESC
    LIMIT %(searched)s::integer
) AS j;

-- name: list_attempts
-- The ended runs of some jobs, of each the latest. One that is not counted has the number of the next that is, and came
-- before it. OFFSET 0, as above.
SELECT t.job_id, t.attempt, t.outcome, t.counted, t.worker_id, t.started_at, t.ended_at,
       extract(epoch FROM t.duration)::double precision AS duration_seconds,
       t.exception_type, t.message, t.traceback, t.failure_type, t.confidence, t.evidence, t.remediation, t.fingerprint,
       t.decision, extract(epoch FROM t.delay)::double precision AS delay_seconds, t.next_run_at, t.explanation, t.reason
FROM unnest(%(job_ids)s::bigint[]) AS wanted (id)
CROSS JOIN LATERAL (
    SELECT * FROM afresh.attempts a WHERE a.job_id = wanted.id
    ORDER BY a.ended_at DESC, a.attempt_id DESC NULLS FIRST
    LIMIT %(most)s::integer OFFSET 0
) t
ORDER BY t.job_id, t.ended_at, t.attempt_id NULLS LAST;
