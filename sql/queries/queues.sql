-- Queues, and what is in them. Counts go up to a limit, so that a page costs no more for a million jobs.

-- name: count_queues
-- How many queues have jobs.
WITH RECURSIVE hop AS (
    (SELECT queue_name FROM procrastinate_jobs ORDER BY queue_name LIMIT 1)
    UNION ALL
    SELECT (SELECT j.queue_name FROM procrastinate_jobs j WHERE j.queue_name > h.queue_name
            ORDER BY j.queue_name LIMIT 1)
    FROM hop h WHERE h.queue_name IS NOT NULL
)
SELECT count(queue_name) FROM hop;

-- name: walk_in_order
-- For the rest of the transaction: what may end early, and says an order, walks along the index of that order. The
-- planner is told, not asked: it would begin with the whole table, or with all that ended in a queue.
SELECT set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true),
       set_config('enable_sort', 'off', true);

-- name: list_queues
-- Queues by name: those with jobs, those that are paused, and those named; or only the one asked for. What waits is
-- counted in the indexes that have nothing else, which is what the orders are for; `walk_in_order` comes first.
WITH RECURSIVE hop AS (
    (SELECT queue_name FROM procrastinate_jobs ORDER BY queue_name LIMIT 1)
    UNION ALL
    SELECT (SELECT j.queue_name FROM procrastinate_jobs j WHERE j.queue_name > h.queue_name
            ORDER BY j.queue_name LIMIT 1)
    FROM hop h WHERE h.queue_name IS NOT NULL
),
known AS (
    SELECT queue_name::text AS name FROM hop WHERE queue_name IS NOT NULL
    UNION
    SELECT h.name FROM afresh.hold h WHERE h.kind = 'queue'
    UNION
    SELECT unnest(%(names)s::text[])
),
latest AS MATERIALIZED (
    SELECT e.job_id, e.type, e.at FROM procrastinate_events e
    WHERE e.type <> 'scheduled' ORDER BY e.id DESC LIMIT %(events)s
),
span AS (
    SELECT CASE WHEN count(*) < %(events)s THEN 300.0
                ELSE greatest(0.001, least(300.0, extract(epoch FROM clock_timestamp() - min(at)))) END AS seconds
    FROM latest
),
flow AS (
    SELECT j.queue_name,
           count(*) FILTER (WHERE l.type = 'deferred') AS came,
           count(*) FILTER (WHERE l.type IN ('succeeded', 'failed', 'cancelled', 'aborted')) AS went
    FROM latest l
    CROSS JOIN LATERAL (SELECT queue_name FROM procrastinate_jobs WHERE id = l.job_id LIMIT 1) j  -- never a hash of all
    WHERE l.at > now() - interval '5 minutes'
    GROUP BY j.queue_name
),
running AS MATERIALIZED (  -- few in all; by queue, the planner may begin with the jobs that ended in it
    SELECT queue_name, sum(jobs)::bigint AS jobs, count(worker_id) AS workers
    FROM (SELECT queue_name, worker_id, count(*) AS jobs FROM procrastinate_jobs WHERE status = 'doing'
          GROUP BY queue_name, worker_id) w
    GROUP BY queue_name
)
SELECT k.name, undated.jobs + due.jobs AS ready, later.jobs - again.jobs AS scheduled, again.jobs AS retrying,
       coalesce(running.jobs, 0) AS running,
       undated.jobs < %(most)s AND due.jobs < %(most)s AS ready_is_exact, later.jobs < %(most)s AS later_is_exact,
       later.jobs <= looked.jobs AS are_told_apart,
       least((SELECT min(e.at) FROM procrastinate_events e WHERE e.job_id = undated.first AND e.type = 'deferred'),
             due.since) AS ready_since,
       coalesce(running.workers, 0) AS workers,
       (coalesce(flow.came, 0) / span.seconds)::double precision AS rate_in,
       (coalesce(flow.went, 0) / span.seconds)::double precision AS rate_out,
       h.reason, h.held_by, h.held_at
FROM known k
CROSS JOIN span
LEFT JOIN flow ON flow.queue_name = k.name
LEFT JOIN afresh.hold h ON h.kind = 'queue' AND h.name = k.name
CROSS JOIN LATERAL (
    SELECT count(*) AS jobs, min(j.id) AS first
    FROM (SELECT id FROM procrastinate_jobs
          WHERE queue_name = k.name AND status = 'todo' AND scheduled_at IS NULL ORDER BY task_name LIMIT %(most)s) j
) undated
CROSS JOIN LATERAL (
    SELECT count(*) AS jobs, min(j.scheduled_at) AS since
    FROM (SELECT scheduled_at FROM procrastinate_jobs
          WHERE queue_name = k.name AND status = 'todo' AND scheduled_at <= now() ORDER BY task_name LIMIT %(most)s) j
) due
CROSS JOIN LATERAL (
    SELECT count(*) AS jobs, array_agg(j.id) AS ids
    FROM (SELECT id FROM procrastinate_jobs
          WHERE queue_name = k.name AND status = 'todo' AND scheduled_at > now() ORDER BY task_name LIMIT %(most)s) j
) later
CROSS JOIN LATERAL (  -- whether it ran before no index knows: of many, some are looked at, evenly spread
    SELECT count(*) AS jobs,
           count(*) FILTER (WHERE p.attempts > 0 OR EXISTS (SELECT FROM afresh.attempt a WHERE a.job_id = j.id)) AS ran
    FROM unnest(later.ids) WITH ORDINALITY AS j (id, place)
    CROSS JOIN LATERAL (SELECT attempts FROM procrastinate_jobs WHERE id = j.id LIMIT 1) p  -- as above
    WHERE j.place %% greatest(1, (later.jobs + %(closely)s - 1) / %(closely)s) = 0
) looked
CROSS JOIN LATERAL (
    SELECT CASE WHEN looked.jobs = 0 THEN 0 ELSE round(1.0 * later.jobs * looked.ran / looked.jobs)::bigint END AS jobs
) again
LEFT JOIN running ON running.queue_name = k.name
WHERE %(name)s::text IS NULL OR k.name = %(name)s::text
ORDER BY k.name;

-- name: show_next_due
-- When the next job falls due, of all queues; a job may wait for 'infinity', which no calendar of a client has.
SELECT CASE WHEN isfinite(d.at) AND d.at < now() + interval '200 years' THEN d.at END
FROM afresh.next_due(NULL, 0) AS d (at);
