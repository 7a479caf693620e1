-- What happened to jobs since somebody looked last.

-- name: read_updates
-- For each position, what came after it: at most so many rows of a kind, each kind in order. A position after which
-- nothing came has no row, unless its job is over or gone.
WITH asked AS (
    SELECT *
    FROM unnest(%(job_ids)s::bigint[], %(events)s::bigint[], %(attempts)s::bigint[], %(reports)s::bigint[])
        WITH ORDINALITY AS a (job_id, event, attempt, report, place)
)
SELECT a.place, j.id IS NOT NULL AS found,
       coalesce(j.status IN ('succeeded', 'failed', 'cancelled', 'aborted'), false) AS over, new.*
FROM asked a
LEFT JOIN procrastinate_jobs j ON j.id = a.job_id
LEFT JOIN LATERAL (
    -- Procrastinate writes "scheduled" with the time that is meant, in the same transaction as and before the event
    -- that puts the job back, if there is one: the two are told as one. Alone, nobody knows when it was written.
    (SELECT 'state' AS kind, e.id, CASE WHEN e.type <> 'scheduled' THEN e.at END AS told_at,
            CASE WHEN e.type <> 'scheduled' THEN e.at END AS at, e.following IS NULL AS is_last,
            CASE WHEN e.type IN ('started', 'abort_requested') THEN 'running'
                 WHEN e.type IN ('succeeded', 'failed', 'cancelled', 'aborted') THEN e.type::text
                 WHEN coalesce(e.due_at <= e.at, true) AND e.type <> 'scheduled' THEN 'ready'
                 WHEN EXISTS (SELECT FROM procrastinate_events s
                              WHERE s.job_id = a.job_id AND s.type = 'started' AND s.id < e.id) THEN 'retrying'
                 ELSE 'scheduled' END AS state,
            e.due_at AS scheduled_at, e.type = 'abort_requested' AS abort_requested, NULL::jsonb AS details
     FROM (
         SELECT w.id, w.type, w.at, lead(w.type) OVER ids AS following,
                CASE WHEN w.type = 'scheduled' THEN w.at
                     WHEN w.type IN ('deferred', 'deferred_for_retry', 'retried') AND lag(w.type) OVER ids = 'scheduled'
                     THEN lag(w.at) OVER ids END AS due_at
         FROM procrastinate_events w
         WHERE w.job_id = a.job_id AND w.id + 0 > a.event  -- Plus 0: a walk over the newest ids of all jobs is worse.
         WINDOW ids AS (ORDER BY w.id)
     ) e
     WHERE e.type <> 'scheduled'
        OR coalesce(e.following NOT IN ('deferred', 'deferred_for_retry', 'retried'), true)
     ORDER BY e.id
     LIMIT %(most)s)
    UNION ALL
    (SELECT 'attempt', t.id, t.recorded_at, t.ended_at, false, NULL, t.next_run_at, false, jsonb_build_object(
                'attempt', t.attempt, 'outcome', t.outcome, 'counted', t.counted, 'worker', t.worker_id,
                'exception_type', t.exception_type, 'message', t.message, 'failure_type', t.failure_type,
                'decision', t.decision, 'delay_seconds', extract(epoch FROM t.delay)::double precision,
                'reason', t.reason)
     FROM afresh.attempt t
     WHERE t.job_id = a.job_id AND t.id > a.attempt
     ORDER BY t.id
     LIMIT %(most)s)
    UNION ALL
    (SELECT 'progress', p.number, p.at, p.at, false, NULL, NULL, false, jsonb_build_object(
                'attempt', p.attempt, 'progress', p.fraction, 'message', p.message, 'current_step', p.current_step,
                'data', p.data)
     FROM afresh.progress p
     WHERE p.job_id = a.job_id AND p.number > a.report
     ORDER BY p.number
     LIMIT %(most)s)
) new ON true
WHERE new.kind IS NOT NULL OR j.id IS NULL OR j.status IN ('succeeded', 'failed', 'cancelled', 'aborted')
ORDER BY a.place, new.kind, new.id;
