-- Every decision to run a job again, newest first: what failed, why it is worth another try, and when.
-- afresh psql -- -v hours=24 -f sql/reports/retry_history.sql
\if :{?hours}
\else
    \set hours 24
\endif
SELECT a.ended_at AS decided_at, a.job_id, a.task_name, a.attempt, a.failure_type,
       round(a.confidence::numeric, 2) AS confidence, left(a.message, 80) AS message,
       round(extract(epoch FROM a.delay)::numeric, 1) AS delay_seconds, a.next_run_at, j.state AS state_now, a.reason
FROM afresh.attempts a
LEFT JOIN afresh.jobs j ON j.id = a.job_id
WHERE a.decision IN ('retry', 'snooze') AND a.ended_at > now() - make_interval(hours => :hours)
ORDER BY a.ended_at DESC
LIMIT 500;
