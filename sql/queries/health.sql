-- What health is judged by.

-- name: read_schema_version
-- The number of the newest migration that is applied.
SELECT max(number) FROM afresh.migration;

-- name: count_live_workers
-- Workers that live, and those that are silent while jobs of theirs still run.
SELECT coalesce(max(workers) FILTER (WHERE state = 'alive'), 0) AS alive,
       coalesce(max(workers) FILTER (WHERE state = 'silent'), 0) AS silent
FROM afresh.count_workers(%(stalled_after)s::interval);

-- name: read_working_since
-- When the oldest of the workers that live began to work.
SELECT min(a.started_at)
FROM procrastinate_workers w
JOIN afresh.worker a ON a.worker_id = w.id
WHERE w.last_heartbeat >= now() - %(stalled_after)s::interval;
