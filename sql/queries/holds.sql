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
