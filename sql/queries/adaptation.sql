-- What decisions adapt to, and what that achieved.

-- name: refresh_samples
-- Count how retries went anew; how many rows that makes.
SELECT afresh.refresh_retry_samples(%(kept)s::interval, %(most)s);

-- name: read_samples
-- How retries went, by task and failure type, the most frequent first.
SELECT task_name, failure_type, retries, successes, since, refreshed_at
FROM afresh.retry_sample
ORDER BY retries DESC, task_name, failure_type
LIMIT %(most)s;

-- name: count_ready
-- Jobs of a queue that could run now, counted up to a limit. What is held back is not ready.
SELECT afresh.ready_depth(%(queue)s, %(tasks)s::text[], %(dependencies)s::text[], %(most)s);

-- name: count_ready_by_queue
-- The same of every queue that has any.
SELECT queue_name, jobs FROM afresh.ready_by_queue(%(tasks)s::text[], %(dependencies)s::text[], %(most)s);

-- name: sum_put_off
-- Runs that came after the peak because their job was put off: how many jobs and runs, and how long they took. One that
-- was put off again has not run in between.
WITH put_off AS (
    SELECT a.id, a.job_id, a.next_run_at
    FROM afresh.attempt a
    WHERE a.ended_at >= %(since)s AND a.ended_at < coalesce(%(until)s::timestamptz, 'infinity') AND a.decision IN ('retry', 'snooze')
      AND a.explanation @> '[{"name": "off_peak"}]'
    ORDER BY a.ended_at DESC LIMIT %(most)s
)
SELECT count(*) AS put_off, count(ran.spent) AS runs,
       coalesce(sum(ran.spent), interval '0') AS spent,
       count(*) < %(most)s AS is_exact
FROM put_off p
LEFT JOIN LATERAL (
    SELECT run.spent FROM (
        (SELECT n.started_at, n.ended_at - n.started_at AS spent
         FROM (SELECT * FROM afresh.attempt a WHERE a.job_id = p.job_id AND a.id > p.id ORDER BY a.id LIMIT 1) n
         WHERE (n.failure_type IS NULL AND n.explanation @> '[{"name": "off_peak"}]') IS NOT TRUE)
        UNION ALL
        (SELECT b.at, e.at - b.at
         FROM procrastinate_events e
         JOIN procrastinate_events b ON b.job_id = e.job_id AND b.type = 'started' AND b.id < e.id
         WHERE e.job_id = p.job_id AND e.type = 'succeeded'
           AND NOT EXISTS (SELECT FROM afresh.attempt n WHERE n.job_id = p.job_id AND n.id > p.id)
         ORDER BY b.id DESC LIMIT 1)
    ) run
    WHERE run.started_at >= p.next_run_at
) ran ON true;

-- name: sum_retries_ended_well
-- Retries with which their job succeeded.
SELECT coalesce(sum(retries_succeeded), 0)::bigint FROM afresh.failures_since(%(since)s);
