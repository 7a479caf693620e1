-- Among a million jobs that succeeded, the few that did not are what people look for, newest first by status. A success
-- never touches this index.

CREATE INDEX afresh_jobs_unsuccessful_idx ON procrastinate_jobs (status, id)
WHERE status IN ('failed', 'cancelled', 'aborted');
