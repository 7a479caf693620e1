-- What health is judged by.

-- name: read_schema_version
-- The number of the newest migration that is applied.
SELECT max(number) FROM afresh.migration;

-- name: count_live_workers
-- Workers heard of within a time, and those that were not while jobs of theirs still run. One that died without any
-- leaves a row that nobody misses.
SELECT count(*) FILTER (WHERE worker.last_heartbeat >= now() - %(stalled_after)s::interval) AS alive,
       count(*) FILTER (
           WHERE worker.last_heartbeat < now() - %(stalled_after)s::interval
             AND EXISTS (SELECT FROM procrastinate_jobs AS job WHERE job.worker_id = worker.id AND job.status = 'doing')
       ) AS silent
FROM procrastinate_workers AS worker;
