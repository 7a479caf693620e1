-- What a job was given that differs from the default of its task; a row only where something does.
-- Written in the same statement as the job, read with its claim.

CREATE TABLE afresh.job_option (
    job_id bigint PRIMARY KEY,
    max_retries integer CHECK (max_retries >= 0),
    timeout interval CHECK (timeout > interval '0'),
    deadline timestamptz,
    task_type text,
    correlation_id text CHECK (length(correlation_id) <= 255),
    metadata jsonb CHECK (jsonb_typeof(metadata) = 'object'),
    submitted_by text CHECK (length(submitted_by) <= 255),
    batch_id bigint,
    replay_of bigint CHECK (replay_of < job_id),
    waited jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(waited) = 'object')
);

COMMENT ON COLUMN afresh.job_option.waited IS 'Seconds snoozed so far by reason, such as {"rate_limit": 30}; MAX_WAIT bounds each.';

COMMENT ON COLUMN afresh.job_option.submitted_by IS 'The name of the API key; null: no key was needed, or no API asked.';

COMMENT ON COLUMN afresh.job_option.replay_of IS 'The ended job in whose place this one runs.';

CREATE INDEX job_option_metadata_idx ON afresh.job_option USING gin (metadata jsonb_path_ops) WHERE metadata IS NOT NULL;
CREATE INDEX job_option_batch_idx ON afresh.job_option (batch_id, job_id) WHERE batch_id IS NOT NULL;
CREATE INDEX job_option_replay_idx ON afresh.job_option (replay_of, job_id) WHERE replay_of IS NOT NULL;
CREATE INDEX job_option_correlation_idx ON afresh.job_option (correlation_id) WHERE correlation_id IS NOT NULL;

-- How often a job was taken over from a lost worker. Apart from attempts: a machine that dies is not the job's failure.
CREATE TABLE afresh.rescue (
    job_id bigint PRIMARY KEY,
    rescues integer NOT NULL CHECK (rescues > 0),
    rescued_at timestamptz NOT NULL
);
