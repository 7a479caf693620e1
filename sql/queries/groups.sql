-- Failure groups. What is asked for takes the place of /* filters */, and the order that of /* after */ and /* order */.

-- name: list_groups
-- One page. Groups that have failed since the last folding are taken as they are now; the others come from an index.
WITH fresh AS MATERIALIZED (SELECT * FROM afresh.fresh_groups()),
page AS (
    (
        SELECT g.*
        FROM afresh.failure_group g
        LEFT JOIN afresh.failure_mark m ON m.fingerprint = g.fingerprint
        WHERE g.fingerprint NOT IN (SELECT fingerprint FROM fresh)
          AND (%(before)s::bigint IS NULL OR /* after */)
        /* filters */
        ORDER BY /* order */
        LIMIT %(limit)s::bigint + %(offset)s::bigint
    )
    UNION ALL
    (
        SELECT g.*
        FROM fresh g
        LEFT JOIN afresh.failure_mark m ON m.fingerprint = g.fingerprint
        WHERE (%(before)s::bigint IS NULL OR /* after */)
        /* filters */
    )
)
SELECT g.fingerprint, g.failures, g.deaths, g.first_seen, g.last_seen, g.last_attempt, g.failure_type,
       g.exception_type, g.message, g.remediation, g.tasks, g.dependencies,
       afresh.group_status(g.last_attempt, m.resolved_attempt, m.muted_until) AS status,
       m.resolved_at, m.resolved_by, m.resolved_because, m.muted_until, m.muted_at, m.muted_by, m.muted_because
FROM page g
LEFT JOIN afresh.failure_mark m ON m.fingerprint = g.fingerprint
ORDER BY /* order */
LIMIT %(limit)s::bigint OFFSET %(offset)s::bigint;

-- name: count_groups
-- How many groups a filter lets through, counted up to a limit.
WITH fresh AS MATERIALIZED (SELECT * FROM afresh.fresh_groups())
SELECT count(*) AS total
FROM (
    (
        SELECT g.fingerprint
        FROM afresh.failure_group g
        LEFT JOIN afresh.failure_mark m ON m.fingerprint = g.fingerprint
        WHERE g.fingerprint NOT IN (SELECT fingerprint FROM fresh)
        /* filters */
        LIMIT %(most)s::integer
    )
    UNION ALL
    (
        SELECT g.fingerprint
        FROM fresh g
        LEFT JOIN afresh.failure_mark m ON m.fingerprint = g.fingerprint
        WHERE true
        /* filters */
    )
    LIMIT %(most)s::integer
) AS counted;

-- name: estimate_groups
-- How many groups the planner expects; its first node says so.
EXPLAIN (FORMAT JSON)
SELECT
FROM afresh.failure_group g
LEFT JOIN afresh.failure_mark m ON m.fingerprint = g.fingerprint
WHERE true
/* filters */;

-- name: find_group
-- One group with its sample.
SELECT fingerprint, failures, deaths, first_seen, last_seen, last_attempt, failure_type, exception_type, message,
       remediation, traceback, tasks, dependencies, status, resolved_at, resolved_by, resolved_because, muted_until,
       muted_at, muted_by, muted_because
FROM afresh.failure_groups
WHERE fingerprint = %(fingerprint)s;

-- name: list_hours
-- The failures of some groups in each of the last hours, the present one included; hours without any are missing.
SELECT fingerprint, (extract(epoch FROM date_trunc('hour', now(), 'UTC') - hour) / 3600)::integer AS hours_ago,
       sum(failures)::bigint AS failures
FROM (
    SELECT * FROM afresh.failure_group_hour WHERE fingerprint = ANY (%(fingerprints)s)
    UNION ALL
    SELECT * FROM afresh.fresh_group_hours() WHERE fingerprint = ANY (%(fingerprints)s)
) AS counted
WHERE hour BETWEEN date_trunc('hour', now(), 'UTC') - make_interval(hours => %(hours)s - 1) AND now()
GROUP BY 1, 2;

-- name: list_recent
-- The newest failures of a group.
SELECT job_id, attempt, task_name, queue_name AS queue, ended_at, worker_id, message, decision, reason
FROM afresh.attempt
WHERE fingerprint = %(fingerprint)s AND failure_type IS NOT NULL
ORDER BY id DESC
LIMIT %(limit)s;

-- name: count_jobs
-- In how many jobs each of some groups failed since a time, among so many of its newest failures.
SELECT g.fingerprint, newest.jobs, newest.failures < %(most)s AS is_exact
FROM unnest(%(fingerprints)s::text[]) AS g (fingerprint)
CROSS JOIN LATERAL (
    SELECT count(DISTINCT a.job_id) FILTER (WHERE a.ended_at >= %(since)s) AS jobs, count(*) AS failures
    FROM (
        SELECT job_id, ended_at FROM afresh.attempt
        WHERE fingerprint = g.fingerprint AND failure_type IS NOT NULL
        ORDER BY id DESC LIMIT %(most)s
    ) AS a
) AS newest;

-- name: count_letters
-- How many dead letters of each of some groups wait for somebody, counted up to a limit.
SELECT g.fingerprint, counted.letters
FROM unnest(%(fingerprints)s::text[]) AS g (fingerprint)
CROSS JOIN LATERAL (
    SELECT count(*) AS letters
    FROM (
        SELECT FROM afresh.dead_letter WHERE fingerprint = g.fingerprint AND status = 'pending' LIMIT %(most)s
    ) AS pending
) AS counted;

-- name: resolve_group
-- Take a group for resolved up to its newest failure; no row: there is no such group.
INSERT INTO afresh.failure_mark AS m (fingerprint, resolved_attempt, resolved_at, resolved_by, resolved_because)
SELECT fingerprint, last_attempt, now(), %(actor)s, %(reason)s
FROM afresh.failure_groups WHERE fingerprint = %(fingerprint)s
ON CONFLICT (fingerprint) DO UPDATE
SET resolved_attempt = excluded.resolved_attempt, resolved_at = excluded.resolved_at,
    resolved_by = excluded.resolved_by, resolved_because = excluded.resolved_because
RETURNING fingerprint;

-- name: reopen_group
-- Take that back; no row: it was not resolved.
UPDATE afresh.failure_mark
SET resolved_attempt = NULL, resolved_at = NULL, resolved_by = NULL, resolved_because = NULL
WHERE fingerprint = %(fingerprint)s AND resolved_attempt IS NOT NULL
RETURNING fingerprint;

-- name: mute_group
-- Let a group be quiet until then; no row: there is no such group.
INSERT INTO afresh.failure_mark AS m (fingerprint, muted_until, muted_at, muted_by, muted_because)
SELECT fingerprint, %(until)s, now(), %(actor)s, %(reason)s
FROM afresh.failure_groups WHERE fingerprint = %(fingerprint)s
ON CONFLICT (fingerprint) DO UPDATE
SET muted_until = excluded.muted_until, muted_at = excluded.muted_at, muted_by = excluded.muted_by,
    muted_because = excluded.muted_because
RETURNING fingerprint;

-- name: unmute_group
-- Take that back; no row: it was not muted.
UPDATE afresh.failure_mark
SET muted_until = NULL, muted_at = NULL, muted_by = NULL, muted_because = NULL
WHERE fingerprint = %(fingerprint)s AND muted_until > now()
RETURNING fingerprint;
