-- How many jobs there are, by queue and state.
-- afresh psql -- -f sql/reports/counts_by_state.sql
SELECT j.queue_name AS queue,
       afresh.job_state(
           j.status, j.scheduled_at, j.attempts > 0 OR EXISTS (SELECT FROM afresh.attempt a WHERE a.job_id = j.id)
       ) AS state,
       count(*) AS jobs, min(j.scheduled_at) AS first_scheduled_at
FROM procrastinate_jobs j
GROUP BY 1, 2
ORDER BY 1, 2;
