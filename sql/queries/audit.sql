-- Who changed what.

-- name: insert_audit
-- Who did what.
INSERT INTO afresh.audit (actor, action, target, reason, details)
VALUES (%(actor)s, %(action)s, %(target)s, %(reason)s, %(details)s::jsonb);

-- name: list_audit
-- One page, newest first. Filters that are null let everything through.
SELECT id, at, actor, action, target, reason, details
FROM afresh.audit
WHERE (%(before)s::bigint IS NULL OR id < %(before)s::bigint)
  AND (%(actor)s::text IS NULL OR actor = %(actor)s::text)
  AND (%(action)s::text IS NULL OR action = %(action)s::text)
  AND (%(target)s::text IS NULL OR target = %(target)s::text)
ORDER BY id DESC
LIMIT %(limit)s::integer OFFSET %(offset)s::integer;

-- name: count_audit
-- How many changes a filter lets through, counted up to a limit.
SELECT count(*) AS total
FROM (
    SELECT
    FROM afresh.audit
    WHERE (%(actor)s::text IS NULL OR actor = %(actor)s::text)
      AND (%(action)s::text IS NULL OR action = %(action)s::text)
      AND (%(target)s::text IS NULL OR target = %(target)s::text)
    LIMIT %(most)s::integer
) AS counted;
