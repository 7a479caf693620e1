-- Jobs whose time is over while they wait. Those whose lock another job runs under are left for the next look.

-- name: walk_indexes
-- Keep the planner on the indexes made for this until the transaction ends: the statistics of a queue are always old,
-- and sorting all that is late would cost as much for each few as for all of them.
SELECT set_config(name, 'off', true)
FROM unnest('{enable_seqscan, enable_bitmapscan, enable_hashjoin, enable_mergejoin, enable_sort}'::text[]) AS name;

-- name: find_past_deadline
-- Deadlines that have passed and were not looked at, a few at a time, and whether their jobs still wait. What runs is
-- looked at again when it does not run any more.
SELECT o.job_id, j.task_name, j.queue_name, j.attempts, o.correlation_id, o.task_type, o.max_retries, o.deadline,
       j.status IS NOT DISTINCT FROM 'todo' AS waits
FROM afresh.job_option o
LEFT JOIN LATERAL (SELECT * FROM procrastinate_jobs WHERE id = o.job_id LIMIT 1) j ON true
WHERE o.deadline <= now() AND o.deadline_watched AND j.status IS DISTINCT FROM 'doing'
  AND NOT EXISTS (SELECT FROM procrastinate_jobs r WHERE r.lock = j.lock AND r.status = 'doing')
ORDER BY o.deadline
LIMIT %(most)s
FOR UPDATE OF o SKIP LOCKED;

-- name: close_deadlines
-- What these deadlines meant for their jobs is done.
UPDATE afresh.job_option SET deadline_watched = false WHERE job_id = ANY (%(ids)s::bigint[]);

-- name: find_held_too_long
-- Jobs that a dependency has kept waiting for too long, a few at a time: it has let nobody in for so long, and they have
-- been there for so long. One that was caught in flight waits since it first was. What somebody has to mend is waited for
-- however long it takes.
WITH held AS MATERIALIZED (
    SELECT h.name, h.held_at, h.reason
    FROM afresh.hold h
    LEFT JOIN afresh.breaker b ON b.name = h.name AND h.held_by = 'breaker'
    WHERE h.kind = 'dependency' AND h.held_at < now() - %(max_wait)s::interval
      AND coalesce(b.state NOT IN ('ramping', 'held'), true)
),
lane AS MATERIALIZED (
    SELECT l.*, h.name, h.held_at, h.reason
    FROM (SELECT r.queue_name, r.task_name, r.dependency, r.locked, NULL::integer AS rank FROM afresh.ready_lanes() r
          UNION ALL
          SELECT * FROM afresh.due_lanes()) l
    LEFT JOIN unnest(%(tasks)s::text[], %(dependencies)s::text[]) AS own (task_name, dependency)
           ON own.task_name = l.task_name
    LEFT JOIN afresh.task_dependency relies ON relies.task_name = l.task_name
    JOIN held h ON h.name = coalesce(nullif(l.dependency, ''), own.dependency, relies.dependency)
    WHERE EXISTS (SELECT FROM held)  -- Mostly there is none: then no lane is looked for.
),
waiting AS (
    SELECT j.*, l.task_name, l.queue_name, l.name, l.held_at, l.reason, made.at AS since
    FROM lane l
    CROSS JOIN LATERAL (
        SELECT j.id, j.attempts FROM procrastinate_jobs j
        WHERE l.rank IS NULL AND j.status = 'todo' AND j.scheduled_at IS NULL
          AND j.queue_name = l.queue_name AND j.task_name = l.task_name
          AND coalesce(j.afresh_dependency, '') = l.dependency AND (j.lock IS NOT NULL) = l.locked
          AND j.id < (SELECT afresh.first_job_since(now() - %(max_wait)s::interval + interval '1 hour'))
          AND NOT EXISTS (SELECT FROM procrastinate_jobs r WHERE r.lock = j.lock AND r.status = 'doing')
        ORDER BY (-j.priority), j.id
        LIMIT %(most)s
    ) j
    CROSS JOIN LATERAL (
        SELECT min(e.at) AS at FROM procrastinate_events e WHERE e.job_id = j.id AND e.type = 'deferred'
    ) made
    UNION ALL
    SELECT j.id, j.attempts, l.task_name, l.queue_name, l.name, l.held_at, l.reason, least(j.scheduled_at, caught.at)
    FROM lane l
    CROSS JOIN LATERAL (
        SELECT j.id, j.attempts, j.scheduled_at FROM procrastinate_jobs j
        WHERE j.status = 'todo' AND j.scheduled_at <= now()
          AND j.queue_name = l.queue_name AND j.task_name = l.task_name
          AND coalesce(j.afresh_dependency, '') = l.dependency AND (j.lock IS NOT NULL) = l.locked
          AND (-j.priority) = l.rank
          AND NOT EXISTS (SELECT FROM procrastinate_jobs r WHERE r.lock = j.lock AND r.status = 'doing')
        ORDER BY j.scheduled_at, j.id
        LIMIT %(most)s
    ) j
    CROSS JOIN LATERAL (
        SELECT min(a.ended_at) AS at FROM afresh.attempt a
        WHERE a.job_id = j.id AND a.outcome = 'snoozed' AND a.ended_at >= l.held_at
    ) caught
)
SELECT w.id, w.task_name, w.queue_name, w.attempts, o.correlation_id, o.task_type, o.max_retries,
       w.name, greatest(w.since, w.held_at) AS since, w.reason
FROM waiting w
LEFT JOIN LATERAL (SELECT * FROM afresh.job_option WHERE job_id = w.id LIMIT 1) o ON true
WHERE w.since < now() - %(max_wait)s::interval
ORDER BY w.id
LIMIT %(most)s;

-- name: seize_jobs
-- Take waiting jobs as a claim would, so that they can be settled in this transaction: nobody sees them run. Of those
-- with one lock only one.
WITH one_of_each_lock AS (
    SELECT DISTINCT ON (coalesce(j.lock, j.id::text), j.lock IS NULL) j.id
    FROM unnest(%(ids)s::bigint[]) AS given (id)
    CROSS JOIN LATERAL (SELECT id, lock FROM procrastinate_jobs WHERE id = given.id LIMIT 1) j
    WHERE j.lock IS NULL OR %(locks)s
    ORDER BY coalesce(j.lock, j.id::text), j.lock IS NULL, j.id
),
mine AS (
    SELECT j.id
    FROM one_of_each_lock o
    CROSS JOIN LATERAL (
        SELECT id FROM procrastinate_jobs
        WHERE id = o.id AND status::text = 'todo'  -- as text: see `afresh.runnable`
        LIMIT 1
        FOR UPDATE SKIP LOCKED
    ) j
)
UPDATE procrastinate_jobs SET status = 'doing', worker_id = NULL, afresh_claim = NULL
WHERE id = ANY (ARRAY(SELECT id FROM mine))
RETURNING id;
