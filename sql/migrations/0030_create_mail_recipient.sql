-- What the mail server said of each recipient of a mail, so that whoever has it does not get it again: not at the next
-- attempt, and not at a replay. Kept as soon as the server has taken the mail, and not with the job's end: a worker
-- may die in between. Like all history it outlives the job.

CREATE TABLE afresh.mail_recipient (
    job_id bigint NOT NULL,
    address text NOT NULL,
    code integer NOT NULL CHECK (code BETWEEN 200 AND 599),
    message text NOT NULL,
    said_to bigint NOT NULL,
    said_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (job_id, address)
);

COMMENT ON COLUMN afresh.mail_recipient.job_id IS 'The first of the jobs that ran in each other''s place.';
COMMENT ON COLUMN afresh.mail_recipient.code IS 'Below 300: taken. From 500 on: refused for good, until a replay asks again.';
COMMENT ON COLUMN afresh.mail_recipient.said_to IS 'The job that asked.';

CREATE INDEX mail_recipient_said_at_idx ON afresh.mail_recipient (said_at);
