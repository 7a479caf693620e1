-- Failures by cause, those seen last first: how many, since when, of which tasks, and what was said about them.
-- psql -v hours=24 -f sql/reports/failure_groups.sql
\if :{?hours}
\else
    \set hours 24
\endif
SELECT g.fingerprint, g.status, g.failures, g.deaths AS dead_letters, g.first_seen, g.last_seen, g.failure_type,
       g.exception_type, left(g.message, 80) AS message, g.remediation, array_to_string(g.tasks, ', ') AS tasks,
       g.resolved_at, g.muted_until
FROM afresh.failure_groups g
WHERE g.last_seen > now() - make_interval(hours => :hours)
ORDER BY g.last_attempt DESC
LIMIT 500;
