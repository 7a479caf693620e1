-- How many workers are wanted, for whoever starts and stops them. A worker runs `concurrency` jobs at once; a slot is the
-- room for one of them. Wanted are as many slots as jobs occupy now, and besides as many as do the backlog in time:
--
--   slots  = greatest(running, ended per second × seconds per job) + ready × seconds per job / drain
--   wanted = slots / concurrency, rounded up
--
-- Jobs that nothing could run now are no backlog: those of a paused queue, of a dependency that is down, of tomorrow. A
-- queue with a limit wants no more slots than that.

-- `concurrency` is that of the worker that started last (0021), and 10 where none is known.

-- A setting that the database does not know otherwise; the worker that started last says it.
CREATE TABLE afresh.scaling (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    drain_seconds double precision NOT NULL DEFAULT 60 CHECK (drain_seconds > 0)
);

COMMENT ON COLUMN afresh.scaling.drain_seconds IS 'Within which time a backlog should be done.';

INSERT INTO afresh.scaling DEFAULT VALUES;

-- What every queue with work has: jobs that could run now, up to p_most of a task; jobs that run; how many runs end in a
-- second, and how long they take on average (null: none has ended). That is looked up in the latest p_events events of
-- five minutes. Where those tell fewer than twenty runs of a queue, because it is quiet or because others are so busy
-- that the events are those of a moment, it is taken from the minutes of the last hour (0022).
CREATE FUNCTION afresh.measure_queues(p_most integer, p_events integer) RETURNS TABLE (
    queue_name text, ready bigint, running bigint, ended_per_second double precision, seconds_per_job double precision
)
LANGUAGE plpgsql STABLE
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $$
DECLARE
    v_tasks text[] := ARRAY(SELECT d.task_name FROM afresh.task_dependency d ORDER BY d.task_name);
    v_dependencies text[] := ARRAY(SELECT d.dependency FROM afresh.task_dependency d ORDER BY d.task_name);
BEGIN
    RETURN QUERY
    WITH latest AS MATERIALIZED (
        SELECT e.id, e.job_id, e.type, e.at FROM procrastinate_events e
        WHERE e.type <> 'scheduled' ORDER BY e.id DESC LIMIT p_events
    ),
    span AS (
        SELECT CASE WHEN count(*) < p_events THEN 300.0
                    ELSE greatest(0.001, least(300.0, extract(epoch FROM clock_timestamp() - min(l.at))))
               END::double precision AS seconds
        FROM latest l
    ),
    flow AS (
        SELECT j.queue_name::text AS name, count(*) AS ended,
               avg(extract(epoch FROM l.at - began.at))::double precision AS seconds
        FROM latest l
        CROSS JOIN LATERAL (SELECT p.queue_name FROM procrastinate_jobs p WHERE p.id = l.job_id LIMIT 1) j
        CROSS JOIN LATERAL (
            SELECT max(b.at) AS at FROM procrastinate_events b
            WHERE b.job_id = l.job_id AND b.type = 'started' AND b.id < l.id
        ) began
        WHERE l.type IN ('succeeded', 'failed', 'aborted', 'deferred_for_retry')
          AND l.at > now() - interval '5 minutes' AND began.at IS NOT NULL
        GROUP BY 1
    ),
    hour AS (
        SELECT w.queue_name AS name, sum(w.spent) / sum(w.ended) AS seconds,
               coalesce(sum(w.ended) FILTER (WHERE w.at >= now() - interval '6 minutes'), 0) / 300 AS rate
        FROM afresh.queue_work w WHERE w.at >= now() - interval '1 hour' GROUP BY w.queue_name
    ),
    active AS (
        SELECT r.queue_name::text AS name, count(*) AS jobs
        FROM procrastinate_jobs r WHERE r.status = 'doing' GROUP BY r.queue_name
    ),
    waiting AS (SELECT r.queue_name AS name, r.jobs FROM afresh.ready_by_queue(v_tasks, v_dependencies, p_most) r),
    names AS (
        SELECT f.name FROM flow f UNION SELECT a.name FROM active a UNION SELECT w.name FROM waiting w
        UNION SELECT h.name FROM hour h CROSS JOIN span s WHERE h.rate > 0 AND s.seconds < 300
    )
    SELECT n.name, coalesce(w.jobs, 0), coalesce(a.jobs, 0),
           CASE WHEN f.ended >= 20 OR h.rate IS NULL OR s.seconds >= 300 THEN coalesce(f.ended / s.seconds, 0)
                ELSE h.rate END,
           CASE WHEN f.ended >= 20 THEN f.seconds ELSE coalesce(h.seconds, f.seconds) END
    FROM names n
    CROSS JOIN span s
    LEFT JOIN flow f ON f.name = n.name
    LEFT JOIN hour h ON h.name = n.name
    LEFT JOIN active a ON a.name = n.name
    LEFT JOIN waiting w ON w.name = n.name;
END;
$$;

CREATE VIEW afresh.autoscaling AS
SELECT q.queue_name, coalesce(sum(q.ready), 0)::bigint AS ready, coalesce(sum(q.running), 0)::bigint AS running,
       coalesce(sum(q.ended_per_second), 0) AS ended_per_second,
       (sum(q.seconds_per_job * q.ended_per_second) / nullif(sum(q.ended_per_second), 0)) AS seconds_per_job,
       coalesce(sum(q.slots), 0) AS slots, s.concurrency, s.drain_seconds,
       ceil(round(coalesce(sum(q.slots), 0)::numeric, 6) / s.concurrency)::integer AS wanted_workers
FROM (SELECT coalesce((SELECT w.concurrency FROM afresh.worker w ORDER BY w.started_at DESC LIMIT 1), 10) AS concurrency,
             coalesce((SELECT t.drain_seconds FROM afresh.scaling t), 60) AS drain_seconds) s
LEFT JOIN LATERAL (
    SELECT m.*, least(
               greatest(m.running, m.ended_per_second * coalesce(m.seconds_per_job, 0))
               + m.ready * coalesce(m.seconds_per_job, 1) / s.drain_seconds,
               (SELECT l.max_running FROM afresh.job_limit l WHERE l.kind = 'queue' AND l.name = m.queue_name)
           ) AS slots
    FROM afresh.measure_queues(100000, 5000) m
) q ON true
GROUP BY GROUPING SETS ((s.concurrency, s.drain_seconds, q.queue_name), (s.concurrency, s.drain_seconds))
HAVING q.queue_name IS NOT NULL OR grouping(q.queue_name) = 1;

COMMENT ON VIEW afresh.autoscaling IS 'A row for each queue with work, and one with no name for all of them together.';
COMMENT ON COLUMN afresh.autoscaling.ready IS 'Counted up to 100000 of a queue.';
COMMENT ON COLUMN afresh.autoscaling.seconds_per_job IS 'On average, of the latest runs of this queue that ended; null: taken for 1.';
