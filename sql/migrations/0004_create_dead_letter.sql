-- A dead letter is a job that will not be tried again by itself. It is written with the failure that killed the job.

CREATE TYPE afresh.death_cause AS ENUM (
    'retries_spent', 'permanent', 'unknown_task', 'broken_strategy', 'worker_lost', 'waited_too_long'
);

CREATE TYPE afresh.dead_letter_status AS ENUM ('pending', 'retrying', 'resolved', 'abandoned');

CREATE TABLE afresh.dead_letter (
    id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    job_id bigint NOT NULL UNIQUE,
    status afresh.dead_letter_status NOT NULL DEFAULT 'pending',
    cause afresh.death_cause NOT NULL,
    task_name text NOT NULL,
    queue_name text NOT NULL,
    priority integer NOT NULL,
    args jsonb NOT NULL,
    lock text,
    queueing_lock text,
    dependency text,
    attempts integer NOT NULL,
    failure_type text,
    fingerprint text,
    exception_type text,
    message text,
    remediation text,
    reason text,
    died_at timestamptz NOT NULL
);

CREATE INDEX dead_letter_status_idx ON afresh.dead_letter (status, died_at DESC, id DESC);
