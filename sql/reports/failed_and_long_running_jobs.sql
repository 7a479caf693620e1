-- What needs a look: jobs that failed, and jobs that have been running for long.
-- afresh psql -- -v minutes=5 -f sql/reports/failed_and_long_running_jobs.sql
\if :{?minutes}
\else
    \set minutes 5
\endif
SELECT CASE WHEN state = 'failed' THEN 'failed' ELSE 'running long' END AS why, id AS job_id, task_name,
       queue_name AS queue, attempts, started_at, ended_at, date_trunc('second', coalesce(ended_at, now()) - started_at) AS ran_for,
       worker_id AS worker, last_failure_type, left(last_message, 100) AS last_message
FROM afresh.jobs
WHERE state = 'failed' OR (state = 'running' AND started_at < now() - make_interval(mins => :minutes))
ORDER BY why DESC, started_at DESC
LIMIT 500;
