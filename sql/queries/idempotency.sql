-- What an Idempotency-Key stands for. The keys are taken where jobs are submitted.

-- name: find_claim
-- What a key stands for, with one more repeat on record, of so many jobs, if the body is the same.
WITH found AS (
    UPDATE afresh.idempotency
    SET repeats = repeats + (body_hash = %(body_hash)s)::integer
    WHERE actor = %(actor)s AND route = %(route)s AND key = %(key)s AND expires_at > now()
    RETURNING body_hash, job_id, batch_id
),
repeat AS (
    INSERT INTO afresh.idempotency_repeat (at, jobs)
    SELECT now(), coalesce((SELECT b.total FROM afresh.batch b WHERE b.id = found.batch_id), 1)
    FROM found WHERE body_hash = %(body_hash)s
)
SELECT body_hash, job_id, batch_id FROM found;

-- name: expire_claims
-- Forget some of the keys whose time has passed.
DELETE FROM afresh.idempotency
WHERE (actor, route, key) IN (
    SELECT actor, route, key FROM afresh.idempotency WHERE expires_at <= now()
    ORDER BY expires_at LIMIT %(most)s FOR UPDATE SKIP LOCKED
);
