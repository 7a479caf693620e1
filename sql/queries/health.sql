-- What health is judged by.

-- name: read_schema_version
-- The number of the newest migration that is applied.
SELECT max(number) FROM afresh.migration;

-- name: count_live_workers
-- Workers that live, and those that are silent while jobs of theirs still run.
SELECT coalesce(max(workers) FILTER (WHERE state = 'alive'), 0) AS alive,
       coalesce(max(workers) FILTER (WHERE state = 'silent'), 0) AS silent
FROM afresh.count_workers(%(stalled_after)s::interval);
