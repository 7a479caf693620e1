-- How many workers are wanted, for whoever starts and stops them. A worker runs `concurrency` jobs at once; a slot is the
-- room for one of them. Wanted are as many slots as jobs occupy now, and besides as many as do the backlog in time:
--
--   slots  = greatest(running, ended per second × seconds per job) + ready × seconds per job / drain
--   wanted = slots / concurrency, rounded up
--
-- Jobs that nothing could run now are no backlog: those of a paused queue, of a dependency that is down, of tomorrow. A
-- queue with a limit wants no more slots than that.

-- What a worker has that the database does not know otherwise; the worker that started last says it.
CREATE TABLE afresh.scaling (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    concurrency integer NOT NULL DEFAULT 10 CHECK (concurrency > 0),
    drain_seconds double precision NOT NULL DEFAULT 60 CHECK (drain_seconds > 0)
);

COMMENT ON COLUMN afresh.scaling.concurrency IS 'Jobs that one worker runs at once.';
COMMENT ON COLUMN afresh.scaling.drain_seconds IS 'Within which time a backlog should be done.';

INSERT INTO afresh.scaling DEFAULT VALUES;

-- What every queue with work has: jobs that could run now, up to p_most; jobs that run; and from the latest p_events
-- events of five minutes how many runs end in a second, and how long they take on average (null: none has ended).
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
    active AS (
        SELECT r.queue_name::text AS name, count(*) AS jobs
        FROM procrastinate_jobs r WHERE r.status = 'doing' GROUP BY r.queue_name
    ),
    waiting AS (
        SELECT o.name, afresh.ready_depth(o.name, v_tasks, v_dependencies, p_most)::bigint AS jobs
        FROM (SELECT DISTINCT l.queue_name::text AS name FROM afresh.open_lanes(NULL, v_tasks, v_dependencies) l) o
    ),
    names AS (
        SELECT f.name FROM flow f UNION SELECT a.name FROM active a UNION SELECT w.name FROM waiting w WHERE w.jobs > 0
    )
    SELECT n.name, coalesce(w.jobs, 0), coalesce(a.jobs, 0), coalesce(f.ended / s.seconds, 0), f.seconds
    FROM names n
    CROSS JOIN span s
    LEFT JOIN flow f ON f.name = n.name
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
FROM (SELECT * FROM afresh.scaling UNION ALL SELECT true, 10, 60 WHERE NOT EXISTS (SELECT FROM afresh.scaling)) s
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
COMMENT ON COLUMN afresh.autoscaling.ready IS 'Counted up to 100000 in a queue.';
COMMENT ON COLUMN afresh.autoscaling.seconds_per_job IS 'On average, of the latest runs that ended; null: taken for 1.';
