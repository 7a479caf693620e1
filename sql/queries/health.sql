-- What health is judged by.

-- name: read_schema_version
-- The number of the newest migration that is applied.
SELECT max(number) FROM afresh.migration;

-- name: count_live_workers
-- Workers heard of within a time, and those that were not.
SELECT count(*) FILTER (WHERE last_heartbeat >= now() - %(stalled_after)s::interval) AS alive,
       count(*) FILTER (WHERE last_heartbeat < now() - %(stalled_after)s::interval) AS silent
FROM procrastinate_workers;
