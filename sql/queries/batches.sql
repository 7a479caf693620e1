-- Batches, and how far they are.

-- name: find_batch
-- A batch with its jobs by state, and how many of them ended within the last minutes since the first of those began.
SELECT b.id, b.task_name, b.total, b.skipped, b.created_by, b.created_at,
       coalesce((SELECT jsonb_object_agg(s.state, s.jobs) FROM (
           SELECT afresh.job_state(
                      j.status, j.scheduled_at,
                      j.attempts > 0 OR EXISTS (SELECT FROM afresh.attempt a WHERE a.job_id = j.id)
                  ) AS state,
                  count(*) AS jobs
           FROM afresh.job_option o
           -- OFFSET 0 keeps the planner from reading all jobs for ten thousand of them.
           CROSS JOIN LATERAL (SELECT * FROM procrastinate_jobs p WHERE p.id = o.job_id OFFSET 0) j
           WHERE o.batch_id = b.id
           GROUP BY state
       ) AS s), '{}') AS states,
       recent.ended AS recently_ended, recent.since AS recent_since
FROM afresh.batch b
CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE e.type <> 'started') AS ended, min(e.at) AS since
    FROM afresh.job_option o
    CROSS JOIN LATERAL (
        SELECT * FROM procrastinate_events i
        WHERE i.job_id = o.job_id AND i.type IN ('started', 'succeeded', 'failed', 'cancelled', 'aborted')
          AND i.at > now() - interval '5 minutes'
        OFFSET 0
    ) e
    WHERE o.batch_id = b.id
) AS recent
WHERE b.id = %(batch_id)s;

-- name: list_batch_jobs
-- The jobs of a batch, in the order of its items.
SELECT job_id FROM afresh.job_option WHERE batch_id = %(batch_id)s ORDER BY job_id;
