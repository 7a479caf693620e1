-- How many of the jobs that ended have succeeded, by task, and how many attempts that took.
-- afresh psql -- -v hours=24 -f sql/reports/completion_rate.sql
\if :{?hours}
\else
    \set hours 24
\endif
SELECT j.task_name,
       count(*) AS ended,
       count(*) FILTER (WHERE j.status = 'succeeded') AS succeeded,
       round(100.0 * count(*) FILTER (WHERE j.status = 'succeeded') / count(*), 1) AS percent,
       round(avg(j.attempts), 2) AS mean_attempts
FROM procrastinate_events e
JOIN procrastinate_jobs j ON j.id = e.job_id
WHERE e.type IN ('succeeded', 'failed', 'cancelled', 'aborted') AND j.status::text = e.type::text
  AND e.at > now() - make_interval(hours => :hours)
GROUP BY j.task_name
ORDER BY percent, ended DESC;
