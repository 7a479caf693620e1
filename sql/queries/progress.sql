-- How far jobs have come.

-- name: write_progress
-- Store what running jobs report, as long as they are this worker's.
SELECT afresh.write_progress(%s, %s::jsonb);

-- name: list_progress
-- What a job has reported, as far as it is kept.
SELECT number, at, attempt, fraction, message, current_step, data
FROM afresh.progress
WHERE job_id = %(job_id)s
ORDER BY number;
