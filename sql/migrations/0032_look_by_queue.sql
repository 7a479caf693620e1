-- What monitoring reads is looked up by queue and within bounds: a scrape read every failure group, autoscaling judged a
-- slow queue by the runs of the busy ones beside it, and walked all lanes once for each queue.

-- The rows of afresh.failure_group as they are once the attempts are folded; only of the groups that change.
CREATE OR REPLACE FUNCTION afresh.fresh_groups(p_through bigint DEFAULT NULL) RETURNS SETOF afresh.failure_group
LANGUAGE sql STABLE ROWS 100
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET plan_cache_mode = force_custom_plan  -- One made while the tables were empty would walk over all of them.
AS $$
    WITH counted AS (
        SELECT a.fingerprint, a.task_name, coalesce(j.afresh_dependency, '') AS dependency, count(*) AS failures,
               count(*) FILTER (WHERE a.decision = 'dead_letter') AS deaths,
               min(a.ended_at) AS first_seen, max(a.ended_at) AS last_seen, max(a.id) AS last_attempt
        FROM afresh.attempt a
        -- One lookup for each: a join might begin with all jobs, where the planner takes them for few.
        LEFT JOIN LATERAL (SELECT p.afresh_dependency FROM procrastinate_jobs p WHERE p.id = a.job_id LIMIT 1) j ON true
        WHERE a.id > coalesce((SELECT folded_id FROM afresh.failure_fold), 0)
          AND a.id <= coalesce(p_through, 9223372036854775807)
          AND a.failure_type IS NOT NULL AND a.fingerprint IS NOT NULL
        GROUP BY 1, 2, 3
    ),
    fresh AS (
        SELECT c.fingerprint, sum(c.failures)::bigint AS failures, sum(c.deaths)::bigint AS deaths,
               min(c.first_seen) AS first_seen, max(c.last_seen) AS last_seen, max(c.last_attempt) AS last_attempt,
               array_agg(c.task_name) AS tasks, array_agg(c.dependency) AS dependencies
        FROM counted c
        GROUP BY 1
    )
    SELECT f.fingerprint, coalesce(g.failures, 0) + f.failures, coalesce(g.deaths, 0) + f.deaths,
           least(g.first_seen, f.first_seen), greatest(g.last_seen, f.last_seen), f.last_attempt,
           newest.failure_type, newest.exception_type, newest.message, newest.remediation, newest.traceback,
           CASE WHEN g.tasks @> f.tasks THEN g.tasks
                ELSE ARRAY(SELECT DISTINCT t FROM unnest(g.tasks || f.tasks) t ORDER BY t) END,
           CASE WHEN g.dependencies @> f.dependencies THEN g.dependencies
                ELSE ARRAY(SELECT DISTINCT d FROM unnest(g.dependencies || f.dependencies) d ORDER BY d) END
    FROM fresh f
    JOIN afresh.attempt newest ON newest.id = f.last_attempt
    LEFT JOIN afresh.failure_group g ON g.fingerprint = f.fingerprint
$$;

-- The same of every queue that has any, in one look at the lanes: what one queue costs does not grow with the others.
-- Of each lane, so of one task in one queue, p_most jobs are counted at most.
--
--   first_id   of those that wait for no time, the job that was made first
--   due_at     since when the first one is due of those that waited for a time
CREATE FUNCTION afresh.ready_by_queue(p_tasks text[], p_dependencies text[], p_most integer)
RETURNS TABLE (queue_name text, jobs bigint, first_id bigint, due_at timestamptz)
LANGUAGE plpgsql STABLE
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET plan_cache_mode = force_generic_plan
AS $$
BEGIN RETURN QUERY
SELECT l.queue_name::text, least(p_most, sum(ready.jobs))::bigint, min(ready.first_id), min(ready.due_at)
FROM afresh.open_lanes(NULL, p_tasks, p_dependencies) l
CROSS JOIN LATERAL (
    SELECT count(*) AS jobs, min(c.id) AS first_id, min(c.scheduled_at) AS due_at
    FROM (
        (SELECT j.id, NULL::timestamptz AS scheduled_at FROM procrastinate_jobs j
         WHERE l.rank IS NULL AND j.status = 'todo' AND j.scheduled_at IS NULL
           AND j.queue_name = l.queue_name AND j.task_name = l.task_name
           AND coalesce(j.afresh_dependency, '') = l.dependency AND (j.lock IS NOT NULL) = l.locked
         ORDER BY (-j.priority), j.id LIMIT p_most)
        UNION ALL
        (SELECT NULL, j.scheduled_at FROM procrastinate_jobs j
         WHERE j.status = 'todo' AND j.scheduled_at <= now()
           AND j.queue_name = l.queue_name AND j.task_name = l.task_name
           AND coalesce(j.afresh_dependency, '') = l.dependency AND (j.lock IS NOT NULL) = l.locked
           AND (-j.priority) = l.rank
         ORDER BY j.scheduled_at LIMIT p_most)
    ) c
) ready
WHERE ready.jobs > 0
GROUP BY l.queue_name;
END;
$$;

-- Workers by state, where there are any: `alive` are those heard of within p_stalled_after, `silent` those that were not
-- while jobs of theirs still run. One that died without any leaves a row that nobody misses.
CREATE FUNCTION afresh.count_workers(p_stalled_after interval) RETURNS TABLE (state text, workers bigint)
LANGUAGE sql STABLE
AS $$
    SELECT w.state, count(*)
    FROM (SELECT CASE WHEN k.last_heartbeat >= now() - p_stalled_after THEN 'alive' ELSE 'silent' END AS state
          FROM procrastinate_workers k
          WHERE k.last_heartbeat >= now() - p_stalled_after
             OR EXISTS (SELECT FROM procrastinate_jobs j WHERE j.worker_id = k.id AND j.status = 'doing')) w
    GROUP BY w.state
$$;

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
CREATE OR REPLACE FUNCTION afresh.gauges(p_queues text[], p_dependencies text[], p_stalled_after interval, p_most integer)
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
SELECT 'workers', '', w.state, w.workers::double precision FROM afresh.count_workers(p_stalled_after) w;
END;
$$;

-- Of groups that failed since p_quiet_since, how many are new, which is since p_new_since, and how many have come back
-- (regression). As anybody may ask every few seconds, failures that are not folded yet count up to p_most: what is
-- beyond is told when it is folded, a minute later.
CREATE FUNCTION afresh.count_restless_groups(p_new_since timestamptz, p_quiet_since timestamptz, p_most integer)
RETURNS TABLE (status text, groups bigint)
LANGUAGE plpgsql STABLE
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET plan_cache_mode = force_custom_plan  -- As afresh.fresh_groups, which it asks.
AS $$
BEGIN
RETURN QUERY
WITH fresh AS MATERIALIZED (
    SELECT f.fingerprint, f.first_seen, f.last_seen, f.last_attempt
    FROM afresh.fresh_groups(coalesce((SELECT folded_id FROM afresh.failure_fold), 0) + p_most) f
),
told AS (
    SELECT g.fingerprint, g.first_seen, g.last_attempt FROM afresh.failure_group g
    WHERE g.last_seen >= p_quiet_since AND g.fingerprint NOT IN (SELECT f.fingerprint FROM fresh f)
    UNION ALL
    SELECT f.fingerprint, f.first_seen, f.last_attempt FROM fresh f WHERE f.last_seen >= p_quiet_since
)
SELECT CASE judged.status WHEN 'regression' THEN 'regression' ELSE 'new' END, count(*)
FROM (SELECT t.first_seen, afresh.group_status(t.last_attempt, m.resolved_attempt, m.muted_until) AS status
      FROM told t LEFT JOIN afresh.failure_mark m ON m.fingerprint = t.fingerprint) judged
WHERE judged.status = 'regression' OR judged.status = 'open' AND judged.first_seen >= p_new_since
GROUP BY 1;
END;
$$;

COMMENT ON FUNCTION afresh.count_restless_groups IS 'How many failure groups are new, and how many have come back.';

CREATE INDEX failure_group_seen_idx ON afresh.failure_group (last_seen);

-- How long runs took, by queue, of the minutes of an hour: what autoscaling reckons with (0027) where the latest events of
-- all queues tell too little of one. Kept of the queues that took most of the time.
CREATE TABLE afresh.queue_work (
    queue_name text NOT NULL,
    at timestamptz NOT NULL,
    ended double precision NOT NULL CHECK (ended > 0),
    spent double precision NOT NULL CHECK (spent >= 0),
    PRIMARY KEY (queue_name, at)
);

COMMENT ON TABLE afresh.queue_work IS 'Runs of a queue that ended in the minute that began at `at`, and the seconds they took in all.';

COMMENT ON COLUMN afresh.queue_sample.ready IS 'Jobs that could run, counted up to a limit; of an hour, the mean.';

-- Count the minute that began at p_minute, or count it again. Of more than p_most events, a share of the jobs is looked
-- at. Lock order: afresh.queue_work by
-- queue, then this table by task name; one sampler works at a time.
CREATE OR REPLACE FUNCTION afresh.sample_tasks(p_minute timestamptz, p_most integer) RETURNS integer
LANGUAGE plpgsql
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $$
DECLARE
    v_end timestamptz := p_minute + interval '1 minute';
    v_first bigint := afresh.first_event_since(p_minute - interval '10 seconds');
    v_last bigint := afresh.first_event_since(v_end + interval '10 seconds');
    v_one_in bigint := greatest(1, ceil((v_last - v_first)::numeric / p_most));
    v_submitted double precision := 1;  -- how many one that is looked at stands for
    v_succeeded double precision := 1;
    v_rows integer;
BEGIN
    -- A share is an estimate, and the last few events of a minute do not make it another one.
    IF v_one_in > 1 AND EXISTS (SELECT FROM afresh.task_sample WHERE seconds = 60 AND at = p_minute) THEN
        RETURN 0;
    END IF;
    IF v_one_in > 1 THEN
        SELECT coalesce(count(*) FILTER (WHERE e.type = 'deferred')::double precision
                        / nullif(count(*) FILTER (WHERE e.type = 'deferred' AND seen.it), 0), v_one_in),
               coalesce(count(*) FILTER (WHERE e.type = 'succeeded')::double precision
                        / nullif(count(*) FILTER (WHERE e.type = 'succeeded' AND seen.it), 0), v_one_in)
        FROM procrastinate_events e
        CROSS JOIN LATERAL (SELECT (hashint8extended(e.job_id, 0) & 2147483647) % v_one_in = 0) AS seen (it)
        WHERE e.id >= v_first AND e.id < v_last AND e.type IN ('deferred', 'succeeded')
          AND e.at >= p_minute AND e.at < v_end
        INTO v_submitted, v_succeeded;
    END IF;
    DELETE FROM afresh.queue_work WHERE at < p_minute - interval '1 hour';
    WITH told AS MATERIALIZED (
        SELECT e.id, e.job_id, e.type, e.at
        FROM procrastinate_events e
        WHERE e.id >= v_first AND e.id < v_last AND e.type IN ('deferred', 'succeeded')
          AND e.at >= p_minute AND e.at < v_end
          AND (hashint8extended(e.job_id, 0) & 2147483647) % v_one_in = 0
    ),
    run AS MATERIALIZED (
        SELECT j.task_name, j.queue_name, CASE t.type WHEN 'deferred' THEN v_submitted ELSE v_succeeded END AS weight,
               (t.type = 'deferred')::integer AS submitted, (t.type = 'succeeded')::integer AS succeeded, 0 AS failed, 0 AS retried, 0 AS buried, 0 AS snoozed,
               0 AS lost,
               CASE WHEN t.type = 'succeeded' THEN extract(epoch FROM t.at - (
                   SELECT max(b.at) FROM procrastinate_events b
                   WHERE b.job_id = t.job_id AND b.type = 'started' AND b.id < t.id
               ))::double precision END AS took
        FROM told t
        CROSS JOIN LATERAL (SELECT p.task_name, p.queue_name FROM procrastinate_jobs p WHERE p.id = t.job_id LIMIT 1) j
        UNION ALL
        SELECT a.task_name, a.queue_name, 1, 0, 0, (a.outcome = 'failed')::integer,
               (a.outcome = 'failed' AND coalesce(a.decision = 'retry', false))::integer,
               coalesce(a.decision = 'dead_letter', false)::integer, (a.outcome = 'snoozed')::integer,
               (a.outcome = 'lost')::integer,
               CASE WHEN a.outcome = 'failed' THEN extract(epoch FROM a.ended_at - a.started_at)::double precision END
        FROM afresh.attempt a
        WHERE a.ended_at >= p_minute AND a.ended_at < v_end
    ),
    by_queue AS (
        INSERT INTO afresh.queue_work AS w (queue_name, at, ended, spent)
        SELECT r.queue_name, p_minute, sum(r.weight), sum(r.weight * greatest(r.took, 0))
        FROM run r WHERE r.took IS NOT NULL
        GROUP BY r.queue_name ORDER BY 4 DESC, 1 LIMIT 200
        ON CONFLICT (queue_name, at) DO UPDATE SET ended = excluded.ended, spent = excluded.spent
    ),
    classed AS (
        SELECT r.*, width_bucket(r.took, '{-1}'::double precision[] || afresh.duration_bounds()) AS class FROM run r
    ),
    by_class AS (
        SELECT task_name, class, sum(weight * submitted) AS submitted, sum(weight * succeeded) AS succeeded,
               sum(failed) AS failed, sum(retried) AS retried, sum(buried) AS buried, sum(snoozed) AS snoozed,
               sum(lost) AS lost, sum(weight * took) AS spent, max(took) AS longest, sum(weight) AS runs
        FROM classed GROUP BY task_name, class
    )
    INSERT INTO afresh.task_sample AS s (
        seconds, task_name, at, submitted, succeeded, failed, retried, buried, snoozed, lost, spent, longest, durations
    )
    SELECT 60, task_name, p_minute, round(sum(submitted)), round(sum(succeeded)), sum(failed), sum(retried),
           sum(buried), sum(snoozed), sum(lost), coalesce(sum(spent), 0), coalesce(max(longest), 0),
           ARRAY(SELECT round(coalesce(max(runs) FILTER (WHERE class = place), 0))::bigint
                 FROM unnest(array_agg(class), array_agg(runs)) AS counted (class, runs)
                 RIGHT JOIN generate_series(1, cardinality(afresh.duration_bounds()) + 1) AS place ON true
                 GROUP BY place ORDER BY place)
    FROM by_class
    GROUP BY task_name
    ORDER BY task_name
    ON CONFLICT (seconds, task_name, at) DO UPDATE
    SET submitted = excluded.submitted, succeeded = excluded.succeeded, failed = excluded.failed,
        retried = excluded.retried, buried = excluded.buried, snoozed = excluded.snoozed, lost = excluded.lost,
        spent = excluded.spent, longest = excluded.longest, durations = excluded.durations;
    GET DIAGNOSTICS v_rows = ROW_COUNT;
    RETURN v_rows;
END;
$$;

-- Sum up the hour that began at p_hour from its minutes.
CREATE OR REPLACE FUNCTION afresh.sum_hour(p_hour timestamptz) RETURNS void
LANGUAGE sql
AS $$
    INSERT INTO afresh.task_sample AS s
    SELECT 3600, task_name, p_hour, sum(submitted), sum(succeeded), sum(failed), sum(retried), sum(buried),
           sum(snoozed), sum(lost), sum(spent), max(longest),
           ARRAY[sum(durations[1]), sum(durations[2]), sum(durations[3]), sum(durations[4]), sum(durations[5]),
           sum(durations[6]), sum(durations[7]), sum(durations[8]), sum(durations[9]), sum(durations[10]),
           sum(durations[11]), sum(durations[12]), sum(durations[13]), sum(durations[14]),
           sum(durations[15])]::bigint[]
    FROM afresh.task_sample
    WHERE seconds = 60 AND at >= p_hour AND at < p_hour + interval '1 hour'
    GROUP BY task_name
    ORDER BY task_name
    ON CONFLICT (seconds, task_name, at) DO UPDATE
    SET submitted = excluded.submitted, succeeded = excluded.succeeded, failed = excluded.failed,
        retried = excluded.retried, buried = excluded.buried, snoozed = excluded.snoozed, lost = excluded.lost,
        spent = excluded.spent, longest = excluded.longest, durations = excluded.durations;

    INSERT INTO afresh.queue_sample AS s
    SELECT 3600, queue_name, p_hour, sum(ready) / minutes, max(ready_most), max(oldest_seconds), sum(running) / minutes
    FROM afresh.queue_sample
    CROSS JOIN (  -- A queue that came or went within the hour has no row for the minutes without it.
        SELECT greatest(1, count(*)) AS minutes FROM afresh.service_sample
        WHERE seconds = 60 AND at >= p_hour AND at < p_hour + interval '1 hour'
    ) hour
    WHERE seconds = 60 AND at >= p_hour AND at < p_hour + interval '1 hour'
    GROUP BY queue_name, minutes
    ORDER BY queue_name
    ON CONFLICT (seconds, queue_name, at) DO UPDATE
    SET ready = excluded.ready, ready_most = excluded.ready_most, oldest_seconds = excluded.oldest_seconds,
        running = excluded.running;

    INSERT INTO afresh.service_sample AS s
    SELECT 3600, p_hour, sum(repeats), (array_agg(dead_letters ORDER BY at DESC))[1], max(workers)
    FROM afresh.service_sample
    WHERE seconds = 60 AND at >= p_hour AND at < p_hour + interval '1 hour'
    HAVING count(*) > 0
    ON CONFLICT (seconds, at) DO UPDATE
    SET repeats = excluded.repeats, dead_letters = excluded.dead_letters, workers = excluded.workers;
$$;

-- The worker that started last says its concurrency (0021).
DROP VIEW afresh.autoscaling;
ALTER TABLE afresh.scaling DROP COLUMN concurrency;

-- What every queue with work has: jobs that could run now, up to p_most of a task; jobs that run; how many runs end in a
-- second, and how long they take on average (null: none has ended). That is looked up in the latest p_events events of
-- five minutes. Where those tell fewer than twenty runs of a queue, because it is quiet or because others are so busy
-- that the events are those of a moment, it is taken from the minutes of the last hour (0022).
CREATE OR REPLACE FUNCTION afresh.measure_queues(p_most integer, p_events integer) RETURNS TABLE (
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
