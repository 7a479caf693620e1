-- Limits over all workers: how many jobs may run, or start in a period.

-- name: put_limit
-- Set a limit, or another in its place; the tokens it has stay.
INSERT INTO afresh.job_limit (kind, name, max_running, rate_jobs, rate_seconds, burst)
VALUES (%(kind)s, %(name)s, %(max_running)s, %(rate_jobs)s, %(rate_seconds)s, %(burst)s)
ON CONFLICT (kind, name) DO UPDATE SET max_running = excluded.max_running, rate_jobs = excluded.rate_jobs,
    rate_seconds = excluded.rate_seconds, burst = excluded.burst;

-- name: delete_limit
-- Lift a limit; no row: there was none.
DELETE FROM afresh.job_limit WHERE kind = %(kind)s AND name = %(name)s RETURNING name;

-- name: list_limits
-- Every limit, and what it leaves now; a null asks for any.
SELECT l.kind, l.name, l.max_running, l.rate_jobs, l.rate_seconds,
       CASE WHEN l.rate_jobs IS NOT NULL THEN coalesce(l.burst, greatest(1, l.rate_jobs / 10)) END AS burst, r.room
FROM afresh.job_limit l
JOIN afresh.limit_room() r ON r.key = l.kind || ':' || l.name
WHERE (%(kind)s::text IS NULL OR l.kind = %(kind)s) AND (%(name)s::text IS NULL OR l.name = %(name)s)
ORDER BY l.kind, l.name
LIMIT 1000;
