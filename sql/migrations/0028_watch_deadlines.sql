-- What waits is buried when its time is over, wherever it waits: also behind a breaker or a pause, where no claim sees
-- it. So deadlines are looked at by the clock, each of them once: a row that was looked at leaves the index.

ALTER TABLE afresh.job_option ADD COLUMN deadline_watched boolean NOT NULL DEFAULT true;

COMMENT ON COLUMN afresh.job_option.deadline_watched IS 'False: the deadline has passed, and what that meant for the job is done.';

CREATE INDEX job_option_deadline_idx ON afresh.job_option (deadline) WHERE deadline IS NOT NULL AND deadline_watched;

COMMENT ON COLUMN afresh.hold.held_at IS 'Since when nobody is let in but probes; of a ramp: since when it lets jobs out.';
