-- Bulk actions on dead letters. A row begins as a preview, which binds action, filter, count and the newest letter to a
-- token; confirmed, it is run by a job, whose cursor stands here: whichever worker takes the job over goes on from there.
-- What state it is in follows from its outcome and its job, and is stored nowhere.

CREATE TYPE afresh.bulk_action AS ENUM ('replay', 'abandon');

CREATE TYPE afresh.bulk_outcome AS ENUM ('done', 'stopped', 'cancelled');

CREATE TABLE afresh.bulk (
    id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    action afresh.bulk_action NOT NULL,
    filter jsonb NOT NULL CHECK (jsonb_typeof(filter) = 'object' AND filter <> '{}'),
    token_hash bytea NOT NULL UNIQUE CHECK (octet_length(token_hash) = 32),
    upper_id bigint NOT NULL,
    previewed bigint NOT NULL CHECK (previewed >= 0),
    previewed_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    actor text NOT NULL,
    reason text,
    rate_per_second double precision CHECK (rate_per_second > 0),
    stop_share double precision CHECK (stop_share BETWEEN 0 AND 1),
    job_id bigint,
    confirmed_at timestamptz,
    cursor bigint NOT NULL DEFAULT 0,
    acted bigint NOT NULL DEFAULT 0 CHECK (acted >= 0),
    skips jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(skips) = 'object'),
    cancelled_by text,
    outcome afresh.bulk_outcome,
    ended_at timestamptz,
    CONSTRAINT bulk_is_confirmed_with_a_reason CHECK (
        num_nonnulls(job_id, confirmed_at, reason, rate_per_second, stop_share) IN (0, 5)
    ),
    CONSTRAINT bulk_ends_with_an_outcome CHECK ((outcome IS NULL) = (ended_at IS NULL))
);

COMMENT ON COLUMN afresh.bulk.token_hash IS 'SHA-256 of the token; it works once, and until the preview expires.';
COMMENT ON COLUMN afresh.bulk.upper_id IS 'The newest letter that was previewed; later ones are left alone.';
COMMENT ON COLUMN afresh.bulk.cursor IS 'The letter it has come to, oldest first.';
COMMENT ON COLUMN afresh.bulk.skips IS 'Letters left pending, by reason, such as {"task_not_registered": 3}.';

CREATE INDEX bulk_expires_idx ON afresh.bulk (expires_at) WHERE job_id IS NULL;
