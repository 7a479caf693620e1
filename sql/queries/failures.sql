-- What the history of failed attempts tells as a whole.

-- name: count_types
-- How often each failure type was met lately, in how many jobs, and when last.
SELECT failure_type, count(*) AS failures, count(DISTINCT job_id) AS jobs, max(ended_at) AS last_seen
FROM afresh.attempt
WHERE ended_at >= now() - %(window)s AND failure_type IS NOT NULL
GROUP BY failure_type;
