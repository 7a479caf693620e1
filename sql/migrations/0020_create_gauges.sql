-- What Prometheus reads of the whole installation, in one statement that any process may ask for every few seconds. As a
-- claim it looks at lanes (0005), and into none of them further than its share: a million waiting jobs cost no more than
-- some thousands, and are told as that many. Nothing is read of jobs that have ended.
--
--   p_queues, p_dependencies   those that are told by name; the others are told together, as 'other'
--   p_most                     jobs that are counted of all queues together, of those that are ready, held or for later:
--                              each queue has an equal share, at least a thousand
--
-- Rows are a gauge, what it is of, its state where it has some, and the number:
--
--   ready · held · later · running   jobs of a queue; held: they could run, but for a pause or a breaker
--   oldest_ready                     seconds since the oldest of those that are ready was made, or fell due
--   paused                           1 for a queue that is
--   dead_letters                     by state
--   breakers                         of a dependency, by state
--   workers                          alive, and silent although they hold jobs
CREATE FUNCTION afresh.gauges(p_queues text[], p_dependencies text[], p_stalled_after interval, p_most integer)
RETURNS TABLE (gauge text, name text, state text, value double precision)
LANGUAGE plpgsql STABLE
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
RETURN QUERY
WITH RECURSIVE undated AS (
    (SELECT j.queue_name, j.task_name, coalesce(j.afresh_dependency, '') AS dependency, (j.lock IS NOT NULL) AS locked,
            (-j.priority) AS rank
     FROM procrastinate_jobs j
     WHERE j.status = 'todo' AND j.scheduled_at IS NULL
     ORDER BY j.queue_name, j.task_name, coalesce(j.afresh_dependency, ''), (j.lock IS NOT NULL), (-j.priority)
     LIMIT 1)
    UNION ALL
    SELECT hop.*
    FROM undated l
    CROSS JOIN LATERAL (
        SELECT j.queue_name, j.task_name, coalesce(j.afresh_dependency, ''), (j.lock IS NOT NULL), (-j.priority)
        FROM procrastinate_jobs j
        WHERE j.status = 'todo' AND j.scheduled_at IS NULL
          AND (j.queue_name, j.task_name, coalesce(j.afresh_dependency, ''), (j.lock IS NOT NULL), (-j.priority))
              > (l.queue_name, l.task_name, l.dependency, l.locked, l.rank)
        ORDER BY j.queue_name, j.task_name, coalesce(j.afresh_dependency, ''), (j.lock IS NOT NULL), (-j.priority)
        LIMIT 1
    ) hop
),
lane AS MATERIALIZED (
    SELECT l.*, CASE WHEN l.queue_name = ANY (p_queues) THEN l.queue_name ELSE 'other' END AS label,
           EXISTS (SELECT FROM afresh.hold h WHERE h.kind = 'queue' AND h.name = l.queue_name)
           OR EXISTS (SELECT FROM afresh.hold h
                      WHERE h.kind = 'dependency' AND h.name = coalesce(nullif(l.dependency, ''), relies.dependency))
           AS held
    FROM (SELECT u.*, false AS dated FROM undated u UNION ALL SELECT d.*, true FROM afresh.due_lanes() d) l
    LEFT JOIN afresh.task_dependency relies ON relies.task_name = l.task_name
),
share AS MATERIALIZED (
    SELECT l.label, greatest(1000, p_most / (count(*) OVER ())::integer) AS most FROM lane l GROUP BY l.label
),
depth AS (
    SELECT CASE WHEN kept.held THEN 'held' ELSE 'ready' END AS gauge, s.label, now_runnable.jobs
    FROM share s
    CROSS JOIN (VALUES (false), (true)) AS kept (held)
    CROSS JOIN LATERAL (
        SELECT count(*) AS jobs FROM (
            SELECT
            FROM lane l
            CROSS JOIN LATERAL (
                SELECT FROM procrastinate_jobs j
                WHERE NOT l.dated AND j.status = 'todo' AND j.scheduled_at IS NULL
                  AND j.queue_name = l.queue_name AND j.task_name = l.task_name
                  AND coalesce(j.afresh_dependency, '') = l.dependency AND (j.lock IS NOT NULL) = l.locked
                  AND (-j.priority) = l.rank
                UNION ALL
                SELECT FROM procrastinate_jobs j
                WHERE l.dated AND j.status = 'todo' AND j.scheduled_at <= now()
                  AND j.queue_name = l.queue_name AND j.task_name = l.task_name
                  AND coalesce(j.afresh_dependency, '') = l.dependency AND (j.lock IS NOT NULL) = l.locked
                  AND (-j.priority) = l.rank
            ) job
            WHERE l.label = s.label AND l.held = kept.held
            LIMIT s.most
        ) counted
    ) now_runnable
    UNION ALL
    SELECT 'later', s.label, waiting.jobs
    FROM share s
    CROSS JOIN LATERAL (
        SELECT count(*) AS jobs FROM (
            SELECT
            FROM lane l
            CROSS JOIN LATERAL (
                SELECT FROM procrastinate_jobs j
                WHERE l.dated AND j.status = 'todo' AND j.scheduled_at > now()
                  AND j.queue_name = l.queue_name AND j.task_name = l.task_name
                  AND coalesce(j.afresh_dependency, '') = l.dependency AND (j.lock IS NOT NULL) = l.locked
                  AND (-j.priority) = l.rank
            ) job
            WHERE l.label = s.label
            LIMIT s.most
        ) counted
    ) waiting
),
first AS (  -- of each lane: the job that was made first, or since when the one is due that fell due first
    SELECT l.label,
           (SELECT j.id FROM procrastinate_jobs j
            WHERE NOT l.dated AND j.status = 'todo' AND j.scheduled_at IS NULL
              AND j.queue_name = l.queue_name AND j.task_name = l.task_name
              AND coalesce(j.afresh_dependency, '') = l.dependency AND (j.lock IS NOT NULL) = l.locked
              AND (-j.priority) = l.rank
            ORDER BY j.id LIMIT 1) AS id,
           (SELECT j.scheduled_at FROM procrastinate_jobs j
            WHERE l.dated AND j.status = 'todo' AND j.scheduled_at <= now()
              AND j.queue_name = l.queue_name AND j.task_name = l.task_name
              AND coalesce(j.afresh_dependency, '') = l.dependency AND (j.lock IS NOT NULL) = l.locked
              AND (-j.priority) = l.rank
            ORDER BY j.scheduled_at LIMIT 1) AS due_at
    FROM lane l
    WHERE NOT l.held
),
oldest AS (
    SELECT f.label, min(f.id) AS id, min(f.due_at) AS due_at FROM first f GROUP BY f.label
)
SELECT d.gauge, d.label::text, '', d.jobs::double precision FROM depth d
UNION ALL
SELECT 'oldest_ready', o.label::text, '',
       greatest(0, extract(epoch FROM now() - least(o.due_at, (
           SELECT min(e.at) FROM procrastinate_events e WHERE e.job_id = o.id AND e.type = 'deferred'))
       ))::double precision
FROM oldest o WHERE o.id IS NOT NULL OR o.due_at IS NOT NULL
UNION ALL
SELECT 'running', r.label, '', count(*)::double precision
FROM (SELECT CASE WHEN j.queue_name = ANY (p_queues) THEN j.queue_name ELSE 'other' END::text AS label
      FROM procrastinate_jobs j WHERE j.status = 'doing' ORDER BY j.lock) r  -- by the one index of those that run
GROUP BY r.label
UNION ALL
SELECT 'paused', p.label, '', 1
FROM (SELECT DISTINCT CASE WHEN h.name = ANY (p_queues) THEN h.name ELSE 'other' END AS label
      FROM afresh.hold h WHERE h.kind = 'queue') p
UNION ALL
SELECT 'dead_letters', '', c.status::text, sum(c.letters)::double precision
FROM afresh.dead_letter_count c GROUP BY c.status
UNION ALL
SELECT 'breakers', k.label, k.state, count(*)::double precision
FROM (SELECT CASE WHEN b.name = ANY (p_dependencies) THEN b.name ELSE 'other' END AS label, b.state::text AS state
      FROM afresh.breaker b WHERE b.state <> 'closed' OR b.name = ANY (p_dependencies)) k
GROUP BY k.label, k.state
UNION ALL
SELECT 'workers', '', w.state, count(*)::double precision
FROM (SELECT CASE WHEN k.last_heartbeat >= now() - p_stalled_after THEN 'alive' ELSE 'silent' END AS state
      FROM procrastinate_workers k
      WHERE k.last_heartbeat >= now() - p_stalled_after
         OR EXISTS (SELECT FROM procrastinate_jobs j WHERE j.worker_id = k.id AND j.status = 'doing')) w
GROUP BY w.state;
END;
$$;

COMMENT ON FUNCTION afresh.gauges IS 'What Prometheus reads of the whole installation: a gauge, what of, its state, the number.';
