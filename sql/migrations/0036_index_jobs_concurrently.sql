-- outside a transaction: each statement alone, on a connection of its own, again and again until its index is valid.
--
-- An adopted table can have millions of jobs, and those who defer and fetch them must not wait while they are read. So
-- all indexes on Procrastinate's tables are built here. Where the steps before built them, as they once did, nothing is
-- left to do.

-- The claim goes from lane to lane, and within each in the order of its jobs (0005).
CREATE INDEX CONCURRENTLY IF NOT EXISTS afresh_jobs_ready_idx ON procrastinate_jobs (
    queue_name, task_name, coalesce(afresh_dependency, ''), (lock IS NOT NULL), (-priority), id
) WHERE status = 'todo' AND scheduled_at IS NULL;

CREATE INDEX CONCURRENTLY IF NOT EXISTS afresh_jobs_due_idx ON procrastinate_jobs (
    queue_name, task_name, coalesce(afresh_dependency, ''), (lock IS NOT NULL), (-priority), scheduled_at, id
) WHERE status = 'todo' AND scheduled_at IS NOT NULL;

CREATE INDEX CONCURRENTLY IF NOT EXISTS afresh_jobs_lock_idx ON procrastinate_jobs (lock, (-priority), id)
WHERE status = 'todo' AND lock IS NOT NULL;

-- Among a million jobs that succeeded, the few that did not are what people look for, newest first by status. A success
-- never touches this index.
CREATE INDEX CONCURRENTLY IF NOT EXISTS afresh_jobs_unsuccessful_idx ON procrastinate_jobs (status, id)
WHERE status IN ('failed', 'cancelled', 'aborted');
