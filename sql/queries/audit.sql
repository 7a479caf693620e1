-- Who changed what.

-- name: insert_audit
-- Who did what.
INSERT INTO afresh.audit (actor, action, target, reason, details)
VALUES (%(actor)s, %(action)s, %(target)s, %(reason)s, %(details)s::jsonb);

-- name: list_audit
-- One page, newest first.
SELECT id, at, actor, action, target, reason, details
FROM afresh.audit
WHERE (%(before)s::bigint IS NULL OR id < %(before)s::bigint)
/* filters */
ORDER BY id DESC
LIMIT %(limit)s::integer OFFSET %(offset)s::integer;

-- name: count_audit
-- How many changes a filter lets through, counted up to a limit.
SELECT count(*) AS total
FROM (
    SELECT
    FROM afresh.audit
    WHERE true
    /* filters */
    LIMIT %(most)s::integer
) AS counted;

-- name: estimate_audit
-- How many changes the planner expects; its first node says so.
EXPLAIN (FORMAT JSON)
SELECT
FROM afresh.audit
WHERE true
/* filters */;
