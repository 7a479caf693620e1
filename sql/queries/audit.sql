-- Who changed what.

-- name: insert_audit
-- Who did what.
INSERT INTO afresh.audit (actor, action, target, reason, details)
VALUES (%(actor)s, %(action)s, %(target)s, %(reason)s, %(details)s::jsonb);
