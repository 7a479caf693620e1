-- Which submission an Idempotency-Key stands for. A row is written in the transaction of its job or batch, so that a
-- key is taken exactly when there is something to show for it; two requests with one key meet in the primary key, and
-- the later one waits there until the earlier has committed.
--
-- A row outlives its job: a late repeat learns that the job is gone, instead of making it once more.

CREATE TABLE afresh.idempotency (
    actor text NOT NULL,
    route text NOT NULL,
    key text NOT NULL CHECK (length(key) BETWEEN 1 AND 255),
    body_hash bytea NOT NULL CHECK (octet_length(body_hash) = 32),
    job_id bigint,
    batch_id bigint,
    repeats integer NOT NULL DEFAULT 0 CHECK (repeats >= 0),
    claimed_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (actor, route, key),
    CONSTRAINT idempotency_stands_for_one CHECK (num_nonnulls(job_id, batch_id) = 1)
);

COMMENT ON COLUMN afresh.idempotency.actor IS 'The API key that was used; "local" where there are none.';
COMMENT ON COLUMN afresh.idempotency.body_hash IS 'SHA-256 of the validated body in canonical JSON.';
COMMENT ON COLUMN afresh.idempotency.repeats IS 'Requests that were answered with what the first one made.';

CREATE INDEX idempotency_expires_idx ON afresh.idempotency (expires_at);
