-- What the finished steps of a running job made.

-- name: read_checkpoints
-- Those of a job, and of the jobs before it in whose place it runs as long as task and arguments are the same.
WITH RECURSIVE chain AS (
    SELECT j.id, j.task_name, j.args FROM procrastinate_jobs j WHERE j.id = %(job_id)s
    UNION ALL
    SELECT p.id, p.task_name, p.args
    FROM chain c
    JOIN afresh.job_option o ON o.job_id = c.id
    JOIN procrastinate_jobs p ON p.id = o.replay_of AND p.task_name = c.task_name AND p.args = c.args
)
SELECT DISTINCT ON (k.name) k.name, k.version, k.value, k.job_id
FROM chain c
JOIN afresh.checkpoint k ON k.job_id = c.id
ORDER BY k.name, k.job_id DESC;

-- name: save_checkpoint
-- Keep what a step made; no row: the job was taken from this run of it.
WITH mine AS (
    SELECT j.id
    FROM procrastinate_jobs j
    WHERE j.id = %(job_id)s AND j.status = 'doing' AND j.worker_id = %(worker)s AND j.afresh_claim = %(claim)s
    FOR NO KEY UPDATE
)
INSERT INTO afresh.checkpoint AS c (job_id, name, version, value, attempt)
SELECT mine.id, %(name)s, %(version)s, %(value)s::jsonb, %(attempt)s FROM mine
ON CONFLICT (job_id, name) DO UPDATE
SET version = excluded.version, value = excluded.value, attempt = excluded.attempt, saved_at = now()
RETURNING c.job_id;
