-- Dead letters that wait for somebody, by what killed them: how many, of which task, since when, and what helps.
-- psql -v days=30 -f sql/reports/dead_letters.sql
\if :{?days}
\else
    \set days 30
\endif
SELECT l.task_name, l.failure_type, l.cause, l.remediation, l.fingerprint,
       count(*) FILTER (WHERE l.status = 'pending') AS pending,
       count(*) FILTER (WHERE l.status = 'retrying') AS retrying,
       count(*) FILTER (WHERE l.status = 'resolved') AS resolved,
       count(*) FILTER (WHERE l.status = 'abandoned') AS abandoned,
       min(l.first_died_at) AS first_died_at, max(l.died_at) AS last_died_at,
       left(min(l.exception_type || ': ' || l.message), 100) AS example, min(l.id) AS first_letter
FROM afresh.dead_letter l
WHERE l.died_at > now() - make_interval(days => :days)
GROUP BY l.task_name, l.failure_type, l.cause, l.remediation, l.fingerprint
ORDER BY pending DESC, last_died_at DESC
LIMIT 500;
