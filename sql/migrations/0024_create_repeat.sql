-- When an Idempotency-Key was used again: its own row counts how often, which says nothing about a time. A row for each
-- repeat until its minute is sampled; who sends the same twice pays for it.

CREATE TABLE afresh.idempotency_repeat (
    id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX idempotency_repeat_at_idx ON afresh.idempotency_repeat (at);
