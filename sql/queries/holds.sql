-- What is held back at claim time.

-- name: insert_hold
-- Hold a queue or a dependency back; no row: it is held already.
WITH held AS (
    INSERT INTO afresh.hold (kind, name, reason, held_by)
    VALUES (%(kind)s::afresh.hold_kind, %(name)s, %(reason)s, %(actor)s)
    ON CONFLICT DO NOTHING
    RETURNING name
)
SELECT pg_notify('afresh_wake', '{"type": "held"}') FROM held;

-- name: delete_hold
-- Let it go on; no row: it was not held.
WITH released AS (
    DELETE FROM afresh.hold WHERE kind = %(kind)s::afresh.hold_kind AND name = %(name)s RETURNING name
)
SELECT pg_notify('afresh_wake', '') FROM released;

-- name: list_holds
-- What is held, by whom, since when and why.
SELECT kind::text, name, reason, held_by, held_at FROM afresh.hold ORDER BY kind, name;

-- name: list_queues
-- The queues that have waiting or running jobs or are paused, with their depth by state.
WITH RECURSIVE queue AS (
    (SELECT queue_name FROM procrastinate_jobs ORDER BY queue_name LIMIT 1)
    UNION ALL
    SELECT (SELECT j.queue_name FROM procrastinate_jobs j WHERE j.queue_name > q.queue_name
            ORDER BY j.queue_name LIMIT 1)
    FROM queue q WHERE q.queue_name IS NOT NULL
),
known AS (
    SELECT queue_name::text AS name FROM queue WHERE queue_name IS NOT NULL
    UNION
    SELECT name FROM afresh.hold WHERE kind = 'queue'
)
SELECT k.name,
       (SELECT count(*) FROM procrastinate_jobs j
        WHERE j.queue_name = k.name AND j.status = 'todo'
          AND (j.scheduled_at IS NULL OR j.scheduled_at <= now())) AS ready,
       (SELECT count(*) FROM procrastinate_jobs j
        WHERE j.queue_name = k.name AND j.status = 'todo' AND j.scheduled_at > now()) AS waiting,
       (SELECT count(*) FROM procrastinate_jobs j WHERE j.queue_name = k.name AND j.status = 'doing') AS running,
       h.reason, h.held_by, h.held_at
FROM known k
LEFT JOIN afresh.hold h ON h.kind = 'queue' AND h.name = k.name
ORDER BY k.name;
