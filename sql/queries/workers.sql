-- Workers, as they described themselves.

-- name: list_workers
-- Workers that live, and those that stopped or fell silent not long ago; a plain Procrastinate worker says nothing more
-- than that it lives.
WITH running AS MATERIALIZED (  -- few in all
    SELECT worker_id, count(*) AS jobs FROM procrastinate_jobs WHERE status = 'doing' GROUP BY worker_id
),
known AS (
    SELECT w.id AS worker_id, nullif(w.last_heartbeat, 'epoch') AS beat_at, w.last_heartbeat = 'epoch' AS signed_off
    FROM procrastinate_workers w
    WHERE w.last_heartbeat > now() - %(kept)s::interval
    UNION ALL
    SELECT a.worker_id, a.beat_at, a.stopped_at IS NOT NULL
    FROM afresh.worker a
    WHERE coalesce(a.stopped_at, a.beat_at) > now() - %(kept)s::interval
      AND NOT EXISTS (SELECT FROM procrastinate_workers w
                      WHERE w.id = a.worker_id AND w.last_heartbeat > now() - %(kept)s::interval)
)
SELECT k.worker_id, a.name, a.host, a.pid, a.version, a.queues, a.concurrency, coalesce(r.jobs, 0) AS running,
       a.overloaded, a.memory_bytes, a.host_memory_percent, a.host_cpu_percent, a.host_disk_percent, a.started_at,
       k.beat_at, a.stopped_at,
       extract(epoch FROM now() - k.beat_at)::double precision AS heartbeat_age_seconds,
       CASE WHEN k.signed_off OR a.stopped_at IS NOT NULL THEN 'stopped'
            WHEN k.beat_at < now() - %(stalled_after)s::interval THEN 'lost'
            WHEN a.overloaded THEN 'overloaded'
            ELSE 'alive' END AS status
FROM known k
LEFT JOIN afresh.worker a ON a.worker_id = k.worker_id
LEFT JOIN running r ON r.worker_id = k.worker_id
ORDER BY k.worker_id
LIMIT %(most)s;

-- name: list_running
-- What some workers run now, of each a few jobs. All that runs is few; its index has nothing else.
WITH running AS MATERIALIZED (
    SELECT r.worker_id, r.id, r.task_name, r.queue_name,
           row_number() OVER (PARTITION BY r.worker_id ORDER BY r.id) AS place
    FROM procrastinate_jobs r
    WHERE r.status = 'doing' AND r.worker_id = ANY (%(worker_ids)s::bigint[])
)
SELECT r.worker_id, r.id, r.task_name, r.queue_name,
       (SELECT max(e.at) FROM procrastinate_events e WHERE e.job_id = r.id AND e.type = 'started')
FROM running r
WHERE r.place <= %(most)s
ORDER BY r.worker_id, r.id;

-- name: read_budgets
-- What is left of the budgets of these dependencies by the last word of each process with a living worker. Where one does
-- not name a dependency, that budget is full there; what is promised already in one takes nothing from the others.
WITH live AS (
    SELECT DISTINCT ON (a.host, a.pid) a.name, a.budgets, a.beat_at
    FROM afresh.worker a
    JOIN procrastinate_workers w ON w.id = a.worker_id
    WHERE a.budgets IS NOT NULL AND a.stopped_at IS NULL AND w.last_heartbeat >= now() - %(stalled_after)s::interval
    ORDER BY a.host, a.pid, a.beat_at DESC
),
said AS (
    SELECT n.name AS dependency, coalesce((l.budgets ->> n.name)::double precision, %(capacity)s) AS tokens,
           CASE WHEN l.budgets ? n.name THEN l.name END AS worker, l.beat_at
    FROM unnest(%(names)s::text[]) AS n (name) CROSS JOIN live l
)
SELECT DISTINCT ON (dependency) dependency, tokens AS least, worker, beat_at AS told_at,
       sum(greatest(tokens, 0)) OVER w AS left, count(*) OVER w AS processes
FROM said
WINDOW w AS (PARTITION BY dependency)
ORDER BY dependency, tokens, beat_at;

-- name: forget_workers
-- Workers that have been gone for longer than that.
DELETE FROM afresh.worker WHERE coalesce(stopped_at, beat_at) < now() - %(kept)s::interval;
