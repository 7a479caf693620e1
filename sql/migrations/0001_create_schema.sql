-- The schema of everything that is ours, and the record of what made it. Procrastinate's tables stay where
-- Procrastinate puts them; the few columns and indexes that we add to them have names that begin with afresh_.

CREATE SCHEMA afresh;

COMMENT ON SCHEMA afresh IS 'Afresh: options of jobs, failed attempts, dead letters, breakers, audit.';

-- One row per applied file of sql/migrations. A row is written in the transaction that ran its file, so that a
-- crash leaves both or neither. The checksum tells an edited file from the one that ran.
CREATE TABLE afresh.migration (
    number integer PRIMARY KEY CHECK (number > 0),
    name text NOT NULL,
    checksum text NOT NULL CHECK (checksum ~ '^[0-9a-f]{64}$'),
    applied_at timestamptz NOT NULL DEFAULT now()
);
