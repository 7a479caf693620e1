-- What happened to one job, run by run.
-- afresh psql -- -v job_id=1 -f sql/reports/attempts_of_a_job.sql
\if :{?job_id}
\else
    \warn 'Which job? Say, for job 1: afresh psql -- -v job_id=1 -f sql/reports/attempts_of_a_job.sql'
    \quit
\endif
SELECT attempt, outcome, started_at, round(extract(epoch FROM duration)::numeric, 3) AS seconds, worker_id AS worker,
       failure_type, exception_type, left(message, 100) AS message,
       decision, round(extract(epoch FROM delay)::numeric, 1) AS delay_seconds, next_run_at, reason
FROM afresh.attempts
WHERE job_id = :job_id
ORDER BY ended_at, attempt_id NULLS LAST;
