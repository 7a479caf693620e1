-- What is left of a dependency's retry budget was known to each process alone, and to whoever scrapes its metrics. It
-- now goes with the heartbeat, in the row that is written anyway.

ALTER TABLE afresh.worker ADD COLUMN budgets jsonb;

COMMENT ON COLUMN afresh.worker.budgets IS 'Retries that its process owes each dependency, in tokens: the fifty with the fewest, none that is full. Null: it does not say.';
