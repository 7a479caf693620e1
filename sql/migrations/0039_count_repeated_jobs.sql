-- A batch that is handed in again is as many repeats as it has jobs: as one, a client that sent each batch of a hundred
-- twice repeated one in a hundred, and no alert told of it.

ALTER TABLE afresh.idempotency_repeat ADD COLUMN jobs integer NOT NULL DEFAULT 1 CHECK (jobs >= 0);

COMMENT ON COLUMN afresh.idempotency_repeat.jobs IS 'That the request would have made.';
COMMENT ON COLUMN afresh.service_sample.repeats IS 'Jobs that an Idempotency-Key kept from being made twice.';
