-- Every ended run that is not a success is a row here, written in the statement that also moves its job.
-- Successes need no row: Procrastinate's events tell when they began and ended; the view afresh.attempts
-- shows both. There is no foreign key to procrastinate_jobs: history outlives jobs.

CREATE TYPE afresh.outcome AS ENUM (
    'failed',     -- the task raised, or ran out of time
    'snoozed',    -- it waits for something that is not its fault; costs no attempt
    'lost',       -- its worker died or was cut off; costs no attempt, counts as a rescue
    'released',   -- its worker stopped before it was done; costs no attempt
    'aborted',    -- somebody asked for its end
    'coalesced'   -- it would have waited behind a twin with the same queueing lock: the twin goes on alone
);

CREATE TYPE afresh.decision AS ENUM ('retry', 'snooze', 'dead_letter');

CREATE TABLE afresh.attempt (
    id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    job_id bigint NOT NULL,
    attempt integer NOT NULL CHECK (attempt > 0),
    outcome afresh.outcome NOT NULL,
    counted boolean NOT NULL,
    task_name text NOT NULL,
    queue_name text NOT NULL,
    worker_id bigint,
    claim bigint,
    started_at timestamptz NOT NULL,
    ended_at timestamptz NOT NULL,
    exception_type text,
    message text,
    traceback text,
    failure_type text,
    confidence real CHECK (confidence BETWEEN 0 AND 1),
    evidence jsonb,
    remediation text,
    fingerprint text,
    decision afresh.decision,
    delay interval CHECK (delay >= interval '0'),
    next_run_at timestamptz,
    explanation jsonb,
    reason text,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT attempt_ends_after_start CHECK (ended_at >= started_at),
    CONSTRAINT attempt_failure_is_classified CHECK (
        outcome <> 'failed' OR (failure_type IS NOT NULL AND decision IS NOT NULL)
    ),
    CONSTRAINT attempt_waiting_has_a_time CHECK (
        outcome = 'coalesced' OR (next_run_at IS NOT NULL) = (decision IS NOT NULL AND decision <> 'dead_letter')
    ),
    CONSTRAINT attempt_waiting_costs_nothing CHECK (NOT (counted AND outcome IN ('snoozed', 'lost', 'released')))
);

COMMENT ON COLUMN afresh.attempt.attempt IS 'The number of this run among those that count; one that does not count shares it with the next.';
COMMENT ON COLUMN afresh.attempt.claim IS 'Number of the claim within its worker; with worker_id it names one run.';
COMMENT ON COLUMN afresh.attempt.explanation IS 'Ordered steps of the decision: [{"name", "text", "numbers": {"…_seconds": 1.0}}].';
COMMENT ON COLUMN afresh.attempt.reason IS 'The explanation as one line.';
COMMENT ON COLUMN afresh.attempt.recorded_at IS
    'By the clock of the database, as Procrastinate''s events are; the times above are the worker''s.';

CREATE INDEX attempt_job_idx ON afresh.attempt (job_id, id);
CREATE INDEX attempt_ended_idx ON afresh.attempt (ended_at);
CREATE INDEX attempt_fingerprint_idx ON afresh.attempt (fingerprint, id) WHERE fingerprint IS NOT NULL;
