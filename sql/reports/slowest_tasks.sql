-- Which tasks take longest: the median and the slowest twentieth of their attempts, and what all of them took.
-- afresh psql -- -v hours=24 -f sql/reports/slowest_tasks.sql
\if :{?hours}
\else
    \set hours 24
\endif
SELECT a.task_name, count(*) AS attempts,
       count(*) FILTER (WHERE a.outcome = 'failed') AS failed,
       round(extract(epoch FROM percentile_cont(0.5) WITHIN GROUP (ORDER BY a.duration))::numeric, 3) AS median_seconds,
       round(extract(epoch FROM percentile_cont(0.95) WITHIN GROUP (ORDER BY a.duration))::numeric, 3) AS p95_seconds,
       round(extract(epoch FROM max(a.duration))::numeric, 3) AS longest_seconds,
       round(extract(epoch FROM sum(a.duration))::numeric, 1) AS worker_seconds
FROM afresh.attempts a
WHERE a.counted AND a.ended_at > now() - make_interval(hours => :hours)
GROUP BY a.task_name
ORDER BY p95_seconds DESC NULLS LAST, a.task_name
LIMIT 500;
