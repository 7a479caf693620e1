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

-- name: list_actors
-- Who has changed anything, by name: a hop from each to the next in the index.
WITH RECURSIVE hop AS (
    (SELECT actor FROM afresh.audit ORDER BY actor LIMIT 1)
    UNION ALL
    SELECT (SELECT a.actor FROM afresh.audit a WHERE a.actor > h.actor ORDER BY a.actor LIMIT 1)
    FROM hop h WHERE h.actor IS NOT NULL
)
SELECT actor FROM hop WHERE actor IS NOT NULL LIMIT %(most)s;

-- name: list_actions
-- What has been done, by name, likewise.
WITH RECURSIVE hop AS (
    (SELECT action FROM afresh.audit ORDER BY action LIMIT 1)
    UNION ALL
    SELECT (SELECT a.action FROM afresh.audit a WHERE a.action > h.action ORDER BY a.action LIMIT 1)
    FROM hop h WHERE h.action IS NOT NULL
)
SELECT action FROM hop WHERE action IS NOT NULL LIMIT %(most)s;
