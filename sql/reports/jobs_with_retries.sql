-- Jobs that needed more than one attempt, those with the most attempts first.
-- afresh psql -- -f sql/reports/jobs_with_retries.sql
SELECT id AS job_id, task_name, queue_name AS queue, state, attempts, created_at, ended_at,
       last_failure_type, left(last_message, 100) AS last_message
FROM afresh.jobs
WHERE attempts > 1
ORDER BY attempts DESC, id DESC
LIMIT 500;
