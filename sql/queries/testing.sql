-- What users' own tests do to a database of theirs.

-- name: bring_forward
-- Let what waits for its time run at once, as if that had come. Its attempts stay.
UPDATE procrastinate_jobs SET scheduled_at = NULL WHERE status = 'todo' AND scheduled_at > now();
