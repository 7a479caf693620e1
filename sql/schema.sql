-- The schema that sql/migrations/ makes, for reading; written by `python -m app.postgres.golden`, never by hand.
-- Procrastinate's own tables are not repeated here: what is added to them stands at the end.

CREATE SCHEMA afresh;

COMMENT ON SCHEMA afresh IS 'Afresh: options of jobs, failed attempts, dead letters, breakers, audit.';

CREATE TYPE afresh.bulk_action AS ENUM (
    'replay',
    'abandon'
);

CREATE TYPE afresh.bulk_outcome AS ENUM (
    'done',
    'stopped',
    'cancelled'
);

CREATE TYPE afresh.dead_letter_status AS ENUM (
    'pending',
    'retrying',
    'resolved',
    'abandoned'
);

CREATE TYPE afresh.death_cause AS ENUM (
    'retries_spent',
    'permanent',
    'unknown_task',
    'broken_strategy',
    'worker_lost',
    'waited_too_long'
);

CREATE TYPE afresh.decision AS ENUM (
    'retry',
    'snooze',
    'dead_letter'
);

CREATE TYPE afresh.hold_kind AS ENUM (
    'queue',
    'dependency'
);

CREATE TYPE afresh.outcome AS ENUM (
    'failed',
    'snoozed',
    'lost',
    'released',
    'aborted',
    'coalesced'
);

CREATE FUNCTION afresh.allowances(p_queues text[], p_tasks text[], p_dependencies text[], p_shares jsonb) RETURNS jsonb
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_sort TO 'off'
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
DECLARE
    v_room jsonb := (SELECT jsonb_object_agg(key, room) FROM afresh.limit_room());
    v_keys text[] := ARRAY(
        SELECT DISTINCT limited.key
        FROM afresh.open_lanes(p_queues, p_tasks, p_dependencies, p_shares, v_room) l
        CROSS JOIN LATERAL unnest(afresh.limit_keys(l.queue_name, l.task_name, l.relies_on)) AS limited (key)
        WHERE l.room > 0 AND v_room ? limited.key
    );
BEGIN
    v_room := (SELECT jsonb_object_agg(key, 0) FROM jsonb_object_keys(v_room) AS key);
    IF cardinality(v_keys) > 0 THEN
        PERFORM FROM afresh.job_limit WHERE kind || ':' || name = ANY (v_keys) ORDER BY kind, name FOR UPDATE;
        -- A statement of its own: it sees what those have claimed for whom the lock was waited.
        v_room := v_room || coalesce((SELECT jsonb_object_agg(key, room) FROM afresh.limit_room(v_keys)), '{}');
    END IF;
    RETURN coalesce(v_room, '{}');
END;
$$;

CREATE FUNCTION afresh.announce_limit() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    PERFORM pg_notify('afresh_wake', '');
    RETURN NULL;
END;
$$;

CREATE FUNCTION afresh.batch_goes_on(p_batch bigint) RETURNS boolean
    LANGUAGE plpgsql STABLE
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    AS $$
DECLARE
    v_first bigint := (SELECT min(job_id) FROM afresh.job_option WHERE batch_id = p_batch);
    v_last bigint := (SELECT max(job_id) FROM afresh.job_option WHERE batch_id = p_batch);
BEGIN
    RETURN EXISTS (
        SELECT FROM (
            SELECT id FROM procrastinate_jobs
            WHERE id BETWEEN v_first AND v_last AND status IN ('todo', 'doing')
            OFFSET 0
        ) alive
        WHERE (SELECT o.batch_id FROM afresh.job_option o WHERE o.job_id = alive.id) = p_batch
    );
END;
$$;

CREATE TABLE afresh.bulk (
    id bigint NOT NULL,
    action afresh.bulk_action NOT NULL,
    filter jsonb NOT NULL,
    token_hash bytea NOT NULL,
    upper_id bigint NOT NULL,
    previewed bigint NOT NULL,
    previewed_at timestamp with time zone DEFAULT now() NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    actor text NOT NULL,
    reason text,
    rate_per_second double precision,
    stop_share double precision,
    job_id bigint,
    confirmed_at timestamp with time zone,
    cursor bigint DEFAULT 0 NOT NULL,
    acted bigint DEFAULT 0 NOT NULL,
    skips jsonb DEFAULT '{}'::jsonb NOT NULL,
    cancelled_by text,
    outcome afresh.bulk_outcome,
    ended_at timestamp with time zone,
    CONSTRAINT bulk_acted_check CHECK ((acted >= 0)),
    CONSTRAINT bulk_ends_with_an_outcome CHECK (((outcome IS NULL) = (ended_at IS NULL))),
    CONSTRAINT bulk_filter_check CHECK (((jsonb_typeof(filter) = 'object'::text) AND (filter <> '{}'::jsonb))),
    CONSTRAINT bulk_is_confirmed_with_a_reason CHECK ((num_nonnulls(job_id, confirmed_at, reason, rate_per_second, stop_share) = ANY (ARRAY[0, 5]))),
    CONSTRAINT bulk_previewed_check CHECK ((previewed >= 0)),
    CONSTRAINT bulk_rate_per_second_check CHECK ((rate_per_second > (0)::double precision)),
    CONSTRAINT bulk_skips_check CHECK ((jsonb_typeof(skips) = 'object'::text)),
    CONSTRAINT bulk_stop_share_check CHECK (((stop_share >= (0)::double precision) AND (stop_share <= (1)::double precision))),
    CONSTRAINT bulk_token_hash_check CHECK ((octet_length(token_hash) = 32))
);

COMMENT ON COLUMN afresh.bulk.token_hash IS 'SHA-256 of the token; it works once, and until the preview expires.';

COMMENT ON COLUMN afresh.bulk.upper_id IS 'The newest letter that was previewed; later ones are left alone.';

COMMENT ON COLUMN afresh.bulk.cursor IS 'The letter it has come to, oldest first.';

COMMENT ON COLUMN afresh.bulk.skips IS 'Letters left pending, by reason, such as {"task_not_registered": 3}.';

CREATE FUNCTION afresh.bulk_goes_on(p_bulk bigint) RETURNS boolean
    LANGUAGE sql STABLE
    RETURN (EXISTS (SELECT FROM (afresh.bulk b JOIN public.procrastinate_jobs j ON ((j.id = b.job_id))) WHERE ((b.id = bulk_goes_on.p_bulk) AND (b.outcome IS NULL) AND (j.status = ANY (ARRAY['todo'::public.procrastinate_job_status, 'doing'::public.procrastinate_job_status])))));

CREATE FUNCTION afresh.claim(p_worker bigint, p_limit integer, p_queues text[] DEFAULT NULL::text[], p_tasks text[] DEFAULT '{}'::text[], p_dependencies text[] DEFAULT '{}'::text[], p_due_first boolean DEFAULT false, p_claim bigint DEFAULT NULL::bigint, p_shares jsonb DEFAULT '[]'::jsonb) RETURNS TABLE(id bigint, queue_name text, task_name text, priority integer, lock text, queueing_lock text, args jsonb, scheduled_at timestamp with time zone, attempts integer, abort_requested boolean, dependency text, max_retries integer, timeout interval, deadline timestamp with time zone, task_type text, correlation_id text, metadata jsonb, waited jsonb, fingerprints text[], cost text)
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_sort TO 'off'
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
#variable_conflict use_column
DECLARE
    v_ids bigint[];
    v_more boolean;
    v_crowded boolean;
    v_window integer := 2 * p_limit;
    v_limits jsonb := '{}';
BEGIN
    IF EXISTS (SELECT FROM afresh.job_limit) THEN
        v_limits := afresh.allowances(p_queues, p_tasks, p_dependencies, p_shares);
    END IF;
    LOOP
        SELECT o_ids, o_more, o_crowded INTO v_ids, v_more, v_crowded
        FROM afresh.runnable(
            p_limit, v_window, p_queues, p_tasks, p_dependencies, p_due_first, true, p_shares, v_limits);
        EXIT WHEN cardinality(v_ids) >= p_limit OR NOT v_more OR v_window > 10000;
        v_window := 16 * v_window;
    END LOOP;
    IF v_crowded AND cardinality(v_ids) < p_limit THEN
        v_ids := v_ids || afresh.runnable_lock_heads(
            p_limit - cardinality(v_ids), p_queues, p_tasks, p_dependencies, p_shares, v_limits, v_ids);
    END IF;
    IF cardinality(v_ids) = 0 THEN
        RETURN;
    END IF;
    BEGIN
        UPDATE procrastinate_jobs SET status = 'doing', worker_id = p_worker, afresh_claim = p_claim
        WHERE id = ANY (v_ids);
    EXCEPTION WHEN unique_violation OR deadlock_detected THEN
        SELECT o_ids INTO v_ids
        FROM afresh.runnable(
            p_limit, 2 * p_limit, p_queues, p_tasks, p_dependencies, p_due_first, false, p_shares, v_limits);
        UPDATE procrastinate_jobs SET status = 'doing', worker_id = p_worker, afresh_claim = p_claim
        WHERE id = ANY (v_ids);
    END;
    IF v_limits <> '{}' THEN
        PERFORM afresh.spend_tokens(v_ids, p_tasks, p_dependencies);
    END IF;
    RETURN QUERY
    SELECT j.id, j.queue_name::text, j.task_name::text, j.priority, j.lock, j.queueing_lock, j.args, j.scheduled_at,
           j.attempts, j.abort_requested, j.afresh_dependency,
           o.max_retries, o.timeout, o.deadline, o.task_type, o.correlation_id, o.metadata, o.waited,
           CASE WHEN j.attempts > 0 THEN (
               SELECT array_agg(a.fingerprint ORDER BY a.id)
               FROM afresh.attempt a WHERE a.job_id = j.id AND a.outcome = 'failed'
           ) END,
           o.cost
    FROM unnest(v_ids) WITH ORDINALITY AS taken (id, position)
    CROSS JOIN LATERAL (SELECT * FROM procrastinate_jobs WHERE id = taken.id LIMIT 1) j
    LEFT JOIN afresh.job_option o ON o.job_id = j.id
    ORDER BY taken.position;
END;
$$;

CREATE FUNCTION afresh.clocked_tasks() RETURNS text[]
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN '{app.tasks.analytics.refresh_retry_statistics,app.tasks.analytics.report_retries,app.tasks.maintenance.bury_overdue,app.tasks.maintenance.expire_idempotency_keys,app.tasks.maintenance.fold_failures,app.tasks.maintenance.purge_gone_workers,app.tasks.maintenance.purge_old_jobs,app.tasks.maintenance.retry_stalled_jobs,app.tasks.maintenance.tend_breakers,app.tasks.maintenance.tend_dead_letters,app.tasks.monitoring.evaluate_alerts,app.tasks.monitoring.forget_samples,app.tasks.monitoring.sample_performance,app.tasks.monitoring.send_alert}'::text[];

CREATE FUNCTION afresh.count_letter() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        INSERT INTO afresh.dead_letter_count (died_on, status, cause, task_name, failure_type, remediation, letters)
        VALUES ((OLD.died_at AT TIME ZONE 'UTC')::date, OLD.status, OLD.cause, OLD.task_name, OLD.failure_type,
                OLD.remediation, -1);
    END IF;
    IF TG_OP <> 'DELETE' THEN
        INSERT INTO afresh.dead_letter_count (died_on, status, cause, task_name, failure_type, remediation, letters)
        VALUES ((NEW.died_at AT TIME ZONE 'UTC')::date, NEW.status, NEW.cause, NEW.task_name, NEW.failure_type,
                NEW.remediation, 1);
    END IF;
    RETURN NULL;
END;
$$;

CREATE FUNCTION afresh.count_restless_groups(p_new_since timestamp with time zone, p_quiet_since timestamp with time zone, p_most integer) RETURNS TABLE(status text, groups bigint)
    LANGUAGE plpgsql STABLE
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET plan_cache_mode TO 'force_custom_plan'
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

COMMENT ON FUNCTION afresh.count_restless_groups(p_new_since timestamp with time zone, p_quiet_since timestamp with time zone, p_most integer) IS 'How many failure groups are new, and how many have come back.';

CREATE FUNCTION afresh.count_waiting(p_names text[], p_queues text[], p_tasks text[], p_dependencies text[], p_most integer) RETURNS TABLE(name text, jobs integer)
    LANGUAGE plpgsql STABLE
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
BEGIN
RETURN QUERY
SELECT relied.name, least(sum(runnable.jobs), p_most)::integer
FROM (SELECT r.queue_name, r.task_name, r.dependency, r.locked, NULL::integer AS rank FROM afresh.ready_lanes() r
      UNION ALL
      SELECT * FROM afresh.due_lanes()) l
LEFT JOIN unnest(p_tasks, p_dependencies) AS own (task_name, dependency) ON own.task_name = l.task_name
CROSS JOIN LATERAL (SELECT coalesce(nullif(l.dependency, ''), own.dependency) AS name) relied
CROSS JOIN LATERAL (
    SELECT count(*) AS jobs FROM (
        SELECT FROM procrastinate_jobs j
        WHERE l.rank IS NULL AND j.status = 'todo' AND j.scheduled_at IS NULL
          AND j.queue_name = l.queue_name AND j.task_name = l.task_name
          AND coalesce(j.afresh_dependency, '') = l.dependency AND (j.lock IS NOT NULL) = l.locked
        LIMIT p_most
    ) undated
    UNION ALL
    SELECT count(*) FROM (
        SELECT FROM procrastinate_jobs j
        WHERE j.status = 'todo' AND j.scheduled_at <= now()
          AND j.queue_name = l.queue_name AND j.task_name = l.task_name
          AND coalesce(j.afresh_dependency, '') = l.dependency AND (j.lock IS NOT NULL) = l.locked
          AND (-j.priority) = l.rank
        LIMIT p_most
    ) due
) runnable
WHERE relied.name = ANY (p_names)
  AND (p_queues IS NULL OR l.queue_name = ANY (p_queues))
  AND NOT EXISTS (SELECT FROM afresh.hold h WHERE h.kind = 'queue' AND h.name = l.queue_name)
GROUP BY relied.name
HAVING sum(runnable.jobs) > 0;
END;
$$;

CREATE FUNCTION afresh.count_workers(p_stalled_after interval) RETURNS TABLE(state text, workers bigint)
    LANGUAGE sql STABLE
    AS $$
    SELECT w.state, count(*)
    FROM (SELECT CASE WHEN k.last_heartbeat >= now() - p_stalled_after THEN 'alive' ELSE 'silent' END AS state
          FROM procrastinate_workers k
          WHERE k.last_heartbeat >= now() - p_stalled_after
             OR EXISTS (SELECT FROM procrastinate_jobs j WHERE j.worker_id = k.id AND j.status = 'doing')) w
    GROUP BY w.state
$$;

CREATE FUNCTION afresh.due_lanes() RETURNS TABLE(queue_name character varying, task_name character varying, dependency text, locked boolean, rank integer)
    LANGUAGE sql STABLE
    AS $$
WITH RECURSIVE lane AS (
    (SELECT queue_name, task_name, coalesce(afresh_dependency, '') AS dependency, (lock IS NOT NULL) AS locked,
            (-priority) AS rank
     FROM procrastinate_jobs
     WHERE status = 'todo' AND scheduled_at IS NOT NULL
     ORDER BY queue_name, task_name, coalesce(afresh_dependency, ''), (lock IS NOT NULL), (-priority)
     LIMIT 1)
    UNION ALL
    SELECT hop.*
    FROM lane l
    CROSS JOIN LATERAL (
        SELECT j.queue_name, j.task_name, coalesce(j.afresh_dependency, ''), (j.lock IS NOT NULL), (-j.priority)
        FROM procrastinate_jobs j
        WHERE j.status = 'todo' AND j.scheduled_at IS NOT NULL
          AND (j.queue_name, j.task_name, coalesce(j.afresh_dependency, ''), (j.lock IS NOT NULL), (-j.priority))
              > (l.queue_name, l.task_name, l.dependency, l.locked, l.rank)
        ORDER BY j.queue_name, j.task_name, coalesce(j.afresh_dependency, ''), (j.lock IS NOT NULL), (-j.priority)
        LIMIT 1
    ) hop
)
SELECT * FROM lane;
$$;

CREATE FUNCTION afresh.duration_bounds() RETURNS double precision[]
    LANGUAGE sql IMMUTABLE
    RETURN '{0.005,0.01,0.025,0.05,0.1,0.25,0.5,1,2.5,5,10,30,60,300}'::double precision[];

CREATE TABLE afresh.failure_hour (
    hour timestamp with time zone NOT NULL,
    task_name text NOT NULL,
    failure_type text NOT NULL,
    queue_name text NOT NULL,
    failures bigint NOT NULL,
    jobs bigint NOT NULL,
    retries bigint NOT NULL,
    retries_failed bigint NOT NULL,
    retries_succeeded bigint NOT NULL,
    retries_before_success bigint NOT NULL,
    deaths bigint NOT NULL,
    calls_of_dead bigint NOT NULL,
    spent interval NOT NULL,
    last_seen timestamp with time zone
);

COMMENT ON COLUMN afresh.failure_hour.jobs IS 'Jobs that had not met this type before.';

COMMENT ON COLUMN afresh.failure_hour.retries IS 'Decisions to try again, at the cost of an attempt.';

COMMENT ON COLUMN afresh.failure_hour.retries_failed IS 'Retries that ended in this failure.';

COMMENT ON COLUMN afresh.failure_hour.retries_succeeded IS 'Retries after this failure with which the job succeeded.';

COMMENT ON COLUMN afresh.failure_hour.retries_before_success IS 'All retries of those jobs.';

COMMENT ON COLUMN afresh.failure_hour.deaths IS 'Dead letters that this failure made.';

COMMENT ON COLUMN afresh.failure_hour.calls_of_dead IS 'All attempts of those jobs.';

COMMENT ON COLUMN afresh.failure_hour.spent IS 'Time of workers in the attempts that failed.';

CREATE FUNCTION afresh.fresh_hours(p_through bigint DEFAULT NULL::bigint, p_recoveries bigint[] DEFAULT NULL::bigint[]) RETURNS SETOF afresh.failure_hour
    LANGUAGE sql STABLE ROWS 100
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    AS $$
    SELECT date_trunc('hour', a.ended_at, 'UTC'), a.task_name, a.failure_type, a.queue_name,
           count(*),
           count(*) FILTER (WHERE NOT EXISTS (
               SELECT FROM afresh.attempt e
               WHERE e.job_id = a.job_id AND e.id < a.id AND e.failure_type = a.failure_type
           )),
           count(*) FILTER (WHERE a.counted AND a.decision = 'retry'),
           count(*) FILTER (WHERE a.counted AND a.attempt > 1),
           0, 0,
           count(*) FILTER (WHERE a.decision = 'dead_letter'),
           coalesce(sum(a.attempt) FILTER (WHERE a.decision = 'dead_letter'), 0),
           sum(a.ended_at - a.started_at),
           max(a.ended_at)
    FROM afresh.attempt a
    WHERE a.id > coalesce((SELECT folded_id FROM afresh.failure_fold), 0)
      AND a.id <= coalesce(p_through, 9223372036854775807)
      AND a.failure_type IS NOT NULL
    GROUP BY 1, 2, 3, 4
    UNION ALL
    SELECT date_trunc('hour', r.recovered_at, 'UTC'), r.task_name, last.failure_type, r.queue_name,
           0, 0, 0, 0, count(*), sum(r.retries), 0, 0, interval '0', NULL
    FROM unnest(coalesce(p_recoveries, ARRAY(SELECT id FROM afresh.recovery))) AS wanted (id)
    JOIN afresh.recovery r ON r.id = wanted.id
    CROSS JOIN LATERAL (
        SELECT e.failure_type FROM afresh.attempt e
        WHERE e.job_id = r.job_id AND e.counted AND e.failure_type IS NOT NULL
        ORDER BY e.id DESC LIMIT 1
    ) last
    GROUP BY 1, 2, 3, 4
$$;

CREATE FUNCTION afresh.failures_since(p_since timestamp with time zone) RETURNS SETOF afresh.failure_hour
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 SELECT failure_hour.hour,
     failure_hour.task_name,
     failure_hour.failure_type,
     failure_hour.queue_name,
     failure_hour.failures,
     failure_hour.jobs,
     failure_hour.retries,
     failure_hour.retries_failed,
     failure_hour.retries_succeeded,
     failure_hour.retries_before_success,
     failure_hour.deaths,
     failure_hour.calls_of_dead,
     failure_hour.spent,
     failure_hour.last_seen
    FROM afresh.failure_hour
   WHERE (failure_hour.hour >= failures_since.p_since)
 UNION ALL
  SELECT fresh_hours.hour,
     fresh_hours.task_name,
     fresh_hours.failure_type,
     fresh_hours.queue_name,
     fresh_hours.failures,
     fresh_hours.jobs,
     fresh_hours.retries,
     fresh_hours.retries_failed,
     fresh_hours.retries_succeeded,
     fresh_hours.retries_before_success,
     fresh_hours.deaths,
     fresh_hours.calls_of_dead,
     fresh_hours.spent,
     fresh_hours.last_seen
    FROM afresh.fresh_hours() fresh_hours(hour, task_name, failure_type, queue_name, failures, jobs, retries, retries_failed, retries_succeeded, retries_before_success, deaths, calls_of_dead, spent, last_seen)
   WHERE (fresh_hours.hour >= failures_since.p_since);
END;

CREATE FUNCTION afresh.first_event_since(p_at timestamp with time zone) RETURNS bigint
    LANGUAGE plpgsql STABLE
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET enable_sort TO 'off'
    AS $$
DECLARE
    v_low bigint;
    v_high bigint;
    v_middle bigint;
    v_event record;
BEGIN
    SELECT coalesce(min(id), 1), coalesce(max(id), 0) + 1 FROM procrastinate_events INTO v_low, v_high;
    WHILE v_low < v_high LOOP
        v_middle := v_low + (v_high - v_low) / 2;
        SELECT id, at FROM procrastinate_events
        WHERE id >= v_middle AND id < v_high AND type <> 'scheduled' AND at IS NOT NULL
        ORDER BY id LIMIT 1 INTO v_event;
        IF v_event.id IS NULL OR v_event.at >= p_at THEN
            v_high := v_middle;
        ELSE
            v_low := v_event.id + 1;
        END IF;
    END LOOP;
    RETURN v_low;
END;
$$;

CREATE FUNCTION afresh.first_job_since(p_at timestamp with time zone) RETURNS bigint
    LANGUAGE plpgsql STABLE
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    AS $$
DECLARE
    v_low bigint;
    v_high bigint;
    v_middle bigint;
    v_job bigint;
    v_made timestamptz;
BEGIN
    SELECT min(id), max(id) + 1 FROM procrastinate_jobs INTO v_low, v_high;
    WHILE v_low < v_high LOOP
        v_middle := v_low + (v_high - v_low) / 2;
        SELECT j.id, made.at
        FROM procrastinate_jobs j
        CROSS JOIN LATERAL (
            SELECT min(e.at) AS at FROM procrastinate_events e WHERE e.job_id = j.id AND e.type = 'deferred' OFFSET 0
        ) made
        WHERE j.id >= v_middle AND j.id < v_high AND made.at IS NOT NULL
        ORDER BY j.id LIMIT 1
        INTO v_job, v_made;
        IF v_job IS NULL OR v_made >= p_at THEN
            v_high := v_middle;
        ELSE
            v_low := v_job + 1;
        END IF;
    END LOOP;
    RETURN v_low;
END;
$$;

CREATE FUNCTION afresh.fold_failures(p_most integer) RETURNS integer
    LANGUAGE plpgsql
    AS $$
DECLARE
    v_fold afresh.failure_fold;
    v_through bigint;
    v_attempts integer := 0;
    v_recoveries bigint[];
BEGIN
    SELECT * FROM afresh.failure_fold INTO v_fold FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN 0;
    END IF;
    v_through := v_fold.folded_id;
    IF v_fold.noted_by < pg_snapshot_xmin(pg_current_snapshot()) THEN
        SELECT count(*), max(id)
        FROM (SELECT id FROM afresh.attempt WHERE id > v_fold.folded_id AND id <= v_fold.noted_id
              ORDER BY id LIMIT p_most) AS next
        INTO v_attempts, v_through;
        IF v_attempts < p_most THEN
            v_through := v_fold.noted_id;
        END IF;
    END IF;
    v_recoveries := ARRAY(SELECT id FROM afresh.recovery ORDER BY id LIMIT p_most);

    INSERT INTO afresh.failure_hour AS h
    SELECT hour, task_name, failure_type, queue_name, sum(failures), sum(jobs), sum(retries), sum(retries_failed),
           sum(retries_succeeded), sum(retries_before_success), sum(deaths), sum(calls_of_dead), sum(spent),
           max(last_seen)
    FROM afresh.fresh_hours(v_through, v_recoveries)
    GROUP BY 1, 2, 3, 4
    ON CONFLICT ON CONSTRAINT failure_hour_pkey DO UPDATE
    SET failures = h.failures + excluded.failures,
        jobs = h.jobs + excluded.jobs,
        retries = h.retries + excluded.retries,
        retries_failed = h.retries_failed + excluded.retries_failed,
        retries_succeeded = h.retries_succeeded + excluded.retries_succeeded,
        retries_before_success = h.retries_before_success + excluded.retries_before_success,
        deaths = h.deaths + excluded.deaths,
        calls_of_dead = h.calls_of_dead + excluded.calls_of_dead,
        spent = h.spent + excluded.spent,
        last_seen = greatest(h.last_seen, excluded.last_seen);

    INSERT INTO afresh.failure_group
    SELECT * FROM afresh.fresh_groups(v_through)
    ON CONFLICT ON CONSTRAINT failure_group_pkey DO UPDATE
    SET failures = excluded.failures, deaths = excluded.deaths, first_seen = excluded.first_seen,
        last_seen = excluded.last_seen, last_attempt = excluded.last_attempt, failure_type = excluded.failure_type,
        exception_type = excluded.exception_type, message = excluded.message, remediation = excluded.remediation,
        traceback = excluded.traceback, tasks = excluded.tasks, dependencies = excluded.dependencies;

    INSERT INTO afresh.failure_group_hour AS h
    SELECT * FROM afresh.fresh_group_hours(v_through)
    ON CONFLICT ON CONSTRAINT failure_group_hour_pkey DO UPDATE SET failures = h.failures + excluded.failures;

    DELETE FROM afresh.recovery WHERE id = ANY (v_recoveries);
    UPDATE afresh.failure_fold SET folded_id = v_through WHERE folded_id < v_through;
    RETURN v_attempts + cardinality(v_recoveries);
END;
$$;

CREATE FUNCTION afresh.follow_replay() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    UPDATE afresh.dead_letter
    SET status = CASE WHEN TG_OP = 'UPDATE' AND NEW.status = 'succeeded' THEN 'resolved' ELSE 'pending' END
                     ::afresh.dead_letter_status,
        changed_at = now()
    WHERE id = OLD.afresh_letter AND replayed_as = OLD.id AND status = 'retrying';
    RETURN NULL;
END;
$$;

CREATE FUNCTION afresh.follow_revival() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
DECLARE
    v_letter bigint;
BEGIN
    UPDATE afresh.dead_letter
    SET status = 'retrying', replays = replays + 1, replayed_as = NEW.id, bulk_id = NULL, changed_at = now()
    WHERE (id = NEW.afresh_letter OR job_id = NEW.id) AND status IN ('pending', 'abandoned')
    RETURNING id INTO v_letter;
    IF v_letter IS NOT NULL AND NEW.afresh_letter IS NULL THEN
        UPDATE procrastinate_jobs SET afresh_letter = v_letter WHERE id = NEW.id;
    END IF;
    RETURN NULL;
END;
$$;

CREATE FUNCTION afresh.forget_belongings() RETURNS trigger
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    AS $$
DECLARE
    v_ids bigint[] := ARRAY(SELECT id FROM gone);
BEGIN
    DELETE FROM afresh.result WHERE job_id = ANY (v_ids);
    DELETE FROM afresh.rescue WHERE job_id = ANY (v_ids);
    DELETE FROM afresh.checkpoint WHERE job_id = ANY (v_ids);
    DELETE FROM afresh.job_option o
    WHERE o.job_id = ANY (v_ids) AND NOT EXISTS (
        SELECT FROM afresh.dead_letter l
        WHERE l.status <> 'resolved'
          AND (l.job_id = o.job_id OR l.id = (SELECT g.afresh_letter FROM gone g WHERE g.id = o.job_id))
    );
    RETURN NULL;
END;
$$;

CREATE TABLE afresh.failure_group_hour (
    fingerprint text NOT NULL,
    hour timestamp with time zone NOT NULL,
    failures bigint NOT NULL,
    CONSTRAINT failure_group_hour_failures_check CHECK ((failures > 0))
);

CREATE FUNCTION afresh.fresh_group_hours(p_through bigint DEFAULT NULL::bigint) RETURNS SETOF afresh.failure_group_hour
    LANGUAGE sql STABLE ROWS 100
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    AS $$
    SELECT a.fingerprint, date_trunc('hour', a.ended_at, 'UTC'), count(*)
    FROM afresh.attempt a
    WHERE a.id > coalesce((SELECT folded_id FROM afresh.failure_fold), 0)
      AND a.id <= coalesce(p_through, 9223372036854775807)
      AND a.failure_type IS NOT NULL AND a.fingerprint IS NOT NULL
    GROUP BY 1, 2
$$;

CREATE TABLE afresh.failure_group (
    fingerprint text NOT NULL,
    failures bigint NOT NULL,
    deaths bigint NOT NULL,
    first_seen timestamp with time zone NOT NULL,
    last_seen timestamp with time zone NOT NULL,
    last_attempt bigint NOT NULL,
    failure_type text NOT NULL,
    exception_type text,
    message text,
    remediation text,
    traceback text,
    tasks text[] NOT NULL,
    dependencies text[] NOT NULL,
    CONSTRAINT failure_group_deaths_check CHECK ((deaths >= 0)),
    CONSTRAINT failure_group_failures_check CHECK ((failures > 0))
);

COMMENT ON COLUMN afresh.failure_group.last_attempt IS 'Id of the newest failure; its type, message and traceback are the sample.';

COMMENT ON COLUMN afresh.failure_group.dependencies IS 'Those that its jobs named; an empty one stands for jobs that named none.';

CREATE FUNCTION afresh.fresh_groups(p_through bigint DEFAULT NULL::bigint) RETURNS SETOF afresh.failure_group
    LANGUAGE sql STABLE ROWS 100
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET plan_cache_mode TO 'force_custom_plan'
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

CREATE FUNCTION afresh.gauges(p_queues text[], p_dependencies text[], p_stalled_after interval, p_most integer) RETURNS TABLE(gauge text, name text, state text, value double precision)
    LANGUAGE plpgsql STABLE
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET plan_cache_mode TO 'force_generic_plan'
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

COMMENT ON FUNCTION afresh.gauges(p_queues text[], p_dependencies text[], p_stalled_after interval, p_most integer) IS 'What Prometheus reads of the whole installation: a gauge, what of, its state, the number.';

CREATE FUNCTION afresh.group_status(p_last_attempt bigint, p_resolved_attempt bigint, p_muted_until timestamp with time zone) RETURNS text
    LANGUAGE sql STABLE
    RETURN CASE WHEN (p_muted_until > now()) THEN 'muted'::text WHEN (p_resolved_attempt IS NULL) THEN 'open'::text WHEN (p_last_attempt > p_resolved_attempt) THEN 'regression'::text ELSE 'resolved'::text END;

CREATE FUNCTION afresh.hold_purge(p_holder uuid, p_seconds double precision, p_removed jsonb) RETURNS boolean
    LANGUAGE plpgsql
    AS $$
BEGIN
    INSERT INTO afresh.purge DEFAULT VALUES ON CONFLICT DO NOTHING;
    UPDATE afresh.purge
    SET began_at = CASE WHEN holder IS DISTINCT FROM p_holder THEN clock_timestamp() ELSE began_at END,
        holder = p_holder, held_until = clock_timestamp() + make_interval(secs => p_seconds), ended_at = NULL,
        removed = p_removed
    WHERE holder IS NOT DISTINCT FROM p_holder OR held_until < clock_timestamp();
    RETURN FOUND;
END;
$$;

CREATE FUNCTION afresh.is_clocked(p_task_name text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN (p_task_name = ANY (afresh.clocked_tasks()));

COMMENT ON FUNCTION afresh.is_clocked(p_task_name text) IS 'Whether a task is one that the clock runs for the service itself.';

CREATE FUNCTION afresh.job_state(p_status public.procrastinate_job_status, p_scheduled_at timestamp with time zone, p_ran boolean) RETURNS text
    LANGUAGE sql STABLE
    RETURN CASE WHEN ((p_status = 'todo'::public.procrastinate_job_status) AND (p_scheduled_at > now())) THEN CASE WHEN p_ran THEN 'retrying'::text ELSE 'scheduled'::text END WHEN (p_status = 'todo'::public.procrastinate_job_status) THEN 'ready'::text WHEN (p_status = ANY (ARRAY['doing'::public.procrastinate_job_status, 'aborting'::public.procrastinate_job_status])) THEN 'running'::text ELSE (p_status)::text END;

CREATE FUNCTION afresh.limit_keys(p_queue text, p_task text, p_dependency text) RETURNS text[]
    LANGUAGE sql IMMUTABLE
    RETURN ARRAY[('queue:'::text || p_queue), ('task:'::text || p_task), ('dependency:'::text || p_dependency)];

CREATE FUNCTION afresh.limit_room(p_keys text[] DEFAULT NULL::text[]) RETURNS TABLE(key text, room integer)
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET enable_sort TO 'off'
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
BEGIN
RETURN QUERY
WITH chosen AS MATERIALIZED (
    SELECT l.*, l.kind || ':' || l.name AS key,
           CASE WHEN l.rate_jobs IS NOT NULL THEN floor(afresh.refilled(l)) END AS filled
    FROM afresh.job_limit l
    WHERE p_keys IS NULL OR l.kind || ':' || l.name = ANY (p_keys)
),
running AS MATERIALIZED (
    -- In the order of the index of what runs: any other that fits has all that waits, too.
    SELECT r.queue_name, r.task_name, count(*) AS jobs
    FROM (SELECT j.queue_name, j.task_name FROM procrastinate_jobs j WHERE j.status = 'doing' ORDER BY j.lock) r
    WHERE EXISTS (SELECT FROM chosen WHERE max_running IS NOT NULL)
    GROUP BY r.queue_name, r.task_name
)
SELECT c.key,
       greatest(0, least(
           CASE WHEN c.max_running IS NOT NULL THEN c.max_running - (
               SELECT coalesce(sum(r.jobs), 0) FROM running r
               WHERE CASE c.kind WHEN 'queue' THEN r.queue_name ELSE r.task_name END = c.name
           ) END,
           c.filled
       ))::integer
FROM chosen c;
END;
$$;

CREATE FUNCTION afresh.limits_of(p_ids bigint[], p_tasks text[], p_dependencies text[]) RETURNS TABLE(id bigint, keys text[])
    LANGUAGE sql STABLE
    AS $$
SELECT j.id, afresh.limit_keys(
    j.queue_name, j.task_name, coalesce(nullif(j.afresh_dependency, ''), own.dependency)
)
FROM unnest(p_ids) WITH ORDINALITY AS given (id, position)
CROSS JOIN LATERAL (SELECT * FROM procrastinate_jobs WHERE id = given.id LIMIT 1) j
LEFT JOIN unnest(p_tasks, p_dependencies) AS own (task_name, dependency) ON own.task_name = j.task_name
ORDER BY given.position;
$$;

CREATE FUNCTION afresh.limits_reached() RETURNS text[]
    LANGUAGE plpgsql STABLE
    AS $$
BEGIN
    RETURN ARRAY(SELECT key FROM afresh.limit_room() WHERE room = 0);
END;
$$;

CREATE FUNCTION afresh.measure_queues(p_most integer, p_events integer) RETURNS TABLE(queue_name text, ready bigint, running bigint, ended_per_second double precision, seconds_per_job double precision)
    LANGUAGE plpgsql STABLE
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
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

CREATE FUNCTION afresh.next_due(p_queues text[] DEFAULT NULL::text[], p_seen double precision DEFAULT 0) RETURNS timestamp with time zone
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET enable_sort TO 'off'
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
BEGIN RETURN (
SELECT least(min(first.scheduled_at), afresh.next_token(p_queues, p_seen))
FROM afresh.due_lanes() l
CROSS JOIN LATERAL (
    SELECT j.scheduled_at
    FROM procrastinate_jobs j
    WHERE j.status = 'todo' AND j.scheduled_at > now()
      AND j.queue_name = l.queue_name AND j.task_name = l.task_name
      AND coalesce(j.afresh_dependency, '') = l.dependency AND (j.lock IS NOT NULL) = l.locked
      AND (-j.priority) = l.rank
    ORDER BY j.scheduled_at
    LIMIT 1
) first
WHERE p_queues IS NULL OR l.queue_name = ANY (p_queues)
); END;
$$;

CREATE TABLE afresh.job_limit (
    kind text NOT NULL,
    name text NOT NULL,
    max_running integer,
    rate_jobs integer,
    rate_seconds double precision,
    burst integer,
    tokens double precision DEFAULT 0 NOT NULL,
    tokens_at timestamp with time zone DEFAULT '1970-01-01 00:00:00+00'::timestamp with time zone NOT NULL,
    CONSTRAINT job_limit_burst_check CHECK ((burst > 0)),
    CONSTRAINT job_limit_dependency CHECK (((kind <> 'dependency'::text) OR (max_running IS NULL))),
    CONSTRAINT job_limit_kind_check CHECK ((kind = ANY (ARRAY['queue'::text, 'task'::text, 'dependency'::text]))),
    CONSTRAINT job_limit_limits CHECK ((num_nonnulls(max_running, rate_jobs) > 0)),
    CONSTRAINT job_limit_max_running_check CHECK ((max_running > 0)),
    CONSTRAINT job_limit_name_check CHECK (((length(name) >= 1) AND (length(name) <= 255))),
    CONSTRAINT job_limit_rate CHECK ((((rate_jobs IS NULL) = (rate_seconds IS NULL)) AND ((burst IS NULL) OR (rate_jobs IS NOT NULL)))),
    CONSTRAINT job_limit_rate_jobs_check CHECK ((rate_jobs > 0)),
    CONSTRAINT job_limit_rate_seconds_check CHECK ((rate_seconds > (0)::double precision))
)
WITH (fillfactor='50');

COMMENT ON TABLE afresh.job_limit IS 'How many jobs may run, or start in a period, over all workers.';

COMMENT ON COLUMN afresh.job_limit.burst IS 'Jobs that may start at once after a rest; null: a tenth of rate_jobs, at least 1.';

COMMENT ON COLUMN afresh.job_limit.tokens IS 'Left at tokens_at; a new bucket has been filling since 1970.';

CREATE FUNCTION afresh.next_token(p_queues text[], p_seen double precision) RETURNS timestamp with time zone
    LANGUAGE sql
    RETURN (SELECT min(refill.at) AS min FROM (afresh.job_limit l CROSS JOIN LATERAL (SELECT (l.tokens_at + make_interval(secs => ((((1)::double precision - l.tokens) * l.rate_seconds) / (l.rate_jobs)::double precision))) AS at) refill) WHERE ((l.tokens < (1)::double precision) AND (refill.at > (clock_timestamp() - make_interval(secs => next_token.p_seen))) AND ((next_token.p_queues IS NULL) OR (l.kind <> 'queue'::text) OR (l.name = ANY (next_token.p_queues)))));

CREATE FUNCTION afresh.note_failures() RETURNS void
    LANGUAGE plpgsql
    AS $$
DECLARE
    v_newest bigint;
BEGIN
    IF pg_current_xact_id_if_assigned() IS NOT NULL THEN
        RAISE EXCEPTION 'note_failures has to come before whatever its transaction writes'
            USING HINT = 'Its transaction id has to be newer than the id it notes.';
    END IF;
    SELECT coalesce(max(id), 0) FROM afresh.attempt INTO v_newest;
    INSERT INTO afresh.failure_fold DEFAULT VALUES ON CONFLICT DO NOTHING;
    UPDATE afresh.failure_fold
    SET noted_id = greatest(v_newest, folded_id), noted_by = pg_current_xact_id()
    WHERE noted_id = folded_id OR noted_by > pg_current_xact_id();
END;
$$;

CREATE FUNCTION afresh.oldest_kept(p_status public.procrastinate_job_status, p_count bigint) RETURNS bigint
    LANGUAGE plpgsql STABLE
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET enable_sort TO 'off'
    SET plan_cache_mode TO 'force_custom_plan'
    AS $$
BEGIN
    RETURN (SELECT id FROM procrastinate_jobs WHERE status = p_status ORDER BY id DESC OFFSET p_count - 1 LIMIT 1);
END;
$$;

CREATE FUNCTION afresh.open_lanes(p_queues text[], p_tasks text[], p_dependencies text[], p_shares jsonb DEFAULT '[]'::jsonb, p_limits jsonb DEFAULT '{}'::jsonb) RETURNS TABLE(queue_name character varying, task_name character varying, dependency text, locked boolean, rank integer, share text, share_jobs integer, share_retries integer, relies_on text, room integer)
    LANGUAGE sql STABLE
    AS $$
SELECT l.*, s.name, s.jobs, s.retries, coalesce(nullif(l.dependency, ''), own.dependency), limited.room
FROM (SELECT queue_name, task_name, dependency, locked, NULL::integer AS rank FROM afresh.ready_lanes()
      UNION ALL
      SELECT * FROM afresh.due_lanes()) l
LEFT JOIN unnest(p_tasks, p_dependencies) AS own (task_name, dependency) ON own.task_name = l.task_name
LEFT JOIN jsonb_to_recordset(p_shares) AS s (name text, generation bigint, jobs integer, retries integer)
       ON s.name = coalesce(nullif(l.dependency, ''), own.dependency)
CROSS JOIN LATERAL (
    SELECT CASE WHEN p_limits <> '{}' THEN least(
        (p_limits ->> ('queue:' || l.queue_name))::integer,
        (p_limits ->> ('task:' || l.task_name))::integer,
        (p_limits ->> ('dependency:' || coalesce(nullif(l.dependency, ''), own.dependency)))::integer
    ) END AS room
) limited
WHERE (p_queues IS NULL OR l.queue_name = ANY (p_queues))
  AND NOT EXISTS (SELECT FROM afresh.hold h WHERE h.kind = 'queue' AND h.name = l.queue_name)
  AND NOT EXISTS (SELECT FROM afresh.hold h
                  WHERE h.kind = 'dependency' AND h.name = coalesce(nullif(l.dependency, ''), own.dependency)
                    AND (s.generation IS NULL OR h.generation IS DISTINCT FROM s.generation))
  AND s.jobs IS DISTINCT FROM 0
  AND limited.room IS DISTINCT FROM 0;
$$;

CREATE FUNCTION afresh.purge_attempts(p_after bigint, p_most integer, p_before timestamp with time zone, OUT looked integer, OUT last bigint, OUT removed integer) RETURNS record
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    AS $$
DECLARE
    v_due bigint[];
    v_old bigint;
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    WITH next AS MATERIALIZED (
        SELECT a.id, a.job_id, a.ended_at FROM afresh.attempt a
        WHERE a.id > p_after AND a.id <= (SELECT f.folded_id FROM afresh.failure_fold f)
        ORDER BY a.id LIMIT p_most
    )
    SELECT count(*), max(n.id), count(*) FILTER (WHERE n.ended_at < p_before),
           array_agg(n.id) FILTER (WHERE n.ended_at < p_before AND NOT EXISTS (
               SELECT FROM procrastinate_jobs j WHERE j.id = n.job_id AND j.status::text IN ('todo', 'doing')
           ) AND n.job_id <> ALL (ARRAY(SELECT r.job_id FROM afresh.recovery r)))
    FROM next n
    INTO looked, last, v_old, v_due;
    DELETE FROM afresh.attempt a WHERE a.id = ANY (v_due);
    GET DIAGNOSTICS removed = ROW_COUNT;
    IF v_old = 0 THEN
        last := NULL;
    END IF;
END;
$$;

CREATE FUNCTION afresh.purge_jobs(p_after bigint, p_before bigint, p_most integer, p_succeeded timestamp with time zone, p_others timestamp with time zone, p_keep jsonb, OUT looked integer, OUT last bigint, OUT removed integer) RETURNS record
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
DECLARE
    v_due bigint[];
BEGIN
    -- A crash that takes this back does no harm, so nobody waits for the disk.
    PERFORM set_config('synchronous_commit', 'off', true);

    WITH next AS MATERIALIZED (
        SELECT j.id, j.status::text AS status, j.afresh_letter
        FROM procrastinate_jobs j
        WHERE j.id > p_after AND j.id < p_before
        ORDER BY j.id LIMIT p_most
    ),
    due AS (
        SELECT n.id
        FROM next n
        CROSS JOIN LATERAL (
            SELECT coalesce(
                       max(e.at) FILTER (WHERE e.type IN ('succeeded', 'failed', 'cancelled', 'aborted')),
                       max(e.at) FILTER (WHERE e.type <> 'scheduled'), '-infinity') AS at
            FROM procrastinate_events e WHERE e.job_id = n.id
        ) ended
        WHERE n.status IN ('succeeded', 'failed', 'cancelled', 'aborted')
          AND (ended.at < CASE n.status WHEN 'succeeded' THEN p_succeeded ELSE p_others END
               OR n.id < (p_keep ->> n.status)::bigint)
          AND NOT EXISTS (SELECT FROM afresh.job_option o
                          WHERE o.job_id = n.id AND o.batch_id IS NOT NULL AND afresh.batch_goes_on(o.batch_id))
          AND (n.afresh_letter IS NULL OR NOT afresh.bulk_goes_on(
                  (SELECT l.bulk_id FROM afresh.dead_letter l WHERE l.id = n.afresh_letter)))
    )
    SELECT (SELECT count(*) FROM next), (SELECT max(n.id) FROM next n), ARRAY(SELECT d.id FROM due d ORDER BY d.id)
    INTO looked, last, v_due;

    v_due := ARRAY(
        SELECT j.id FROM procrastinate_jobs j
        WHERE j.id = ANY (v_due) AND j.status::text IN ('succeeded', 'failed', 'cancelled', 'aborted')
        ORDER BY j.id FOR UPDATE SKIP LOCKED
    );
    removed := cardinality(v_due);
    IF removed > 0 THEN
        -- The foreign key would do it row by row.
        DELETE FROM procrastinate_events e WHERE e.job_id = ANY (v_due);
        -- The last tick of a task that is not periodic any more still names its job.
        UPDATE procrastinate_periodic_defers d SET job_id = NULL WHERE d.job_id = ANY (v_due);
        DELETE FROM procrastinate_jobs j WHERE j.id = ANY (v_due);
    END IF;
END;
$$;

CREATE FUNCTION afresh.purge_letters(p_after bigint, p_most integer, p_before timestamp with time zone, OUT looked integer, OUT last bigint, OUT removed integer) RETURNS record
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    AS $$
DECLARE
    v_due bigint[];
    v_jobs bigint[];
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    WITH next AS MATERIALIZED (
        SELECT l.id, l.status, l.changed_at, l.bulk_id
        FROM afresh.dead_letter l WHERE l.id > p_after ORDER BY l.id LIMIT p_most
    )
    SELECT count(*), max(n.id), array_agg(n.id) FILTER (
        WHERE n.status IN ('resolved', 'abandoned') AND n.changed_at < p_before AND NOT afresh.bulk_goes_on(n.bulk_id))
    FROM next n
    INTO looked, last, v_due;

    v_due := ARRAY(
        SELECT l.id FROM afresh.dead_letter l
        WHERE l.id = ANY (v_due) AND l.status IN ('resolved', 'abandoned') AND l.changed_at < p_before
        ORDER BY l.id FOR UPDATE SKIP LOCKED
    );
    removed := cardinality(v_due);
    IF removed > 0 THEN
        WITH RECURSIVE chain AS (
            SELECT coalesce(l.replayed_as, l.job_id) AS job_id FROM afresh.dead_letter l WHERE l.id = ANY (v_due)
            UNION
            SELECT o.replay_of FROM chain c JOIN afresh.job_option o ON o.job_id = c.job_id
            WHERE o.replay_of IS NOT NULL
        )
        SELECT array_agg(c.job_id) FROM chain c
        WHERE NOT EXISTS (SELECT FROM procrastinate_jobs j WHERE j.id = c.job_id)
        INTO v_jobs;
        DELETE FROM afresh.job_option o WHERE o.job_id = ANY (v_jobs);
        DELETE FROM afresh.dead_letter l WHERE l.id = ANY (v_due);
    END IF;
END;
$$;

CREATE FUNCTION afresh.ready_by_queue(p_tasks text[], p_dependencies text[], p_most integer) RETURNS TABLE(queue_name text, jobs bigint, first_id bigint, due_at timestamp with time zone)
    LANGUAGE plpgsql STABLE
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET plan_cache_mode TO 'force_generic_plan'
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

CREATE FUNCTION afresh.ready_depth(p_queue text, p_tasks text[], p_dependencies text[], p_most integer) RETURNS integer
    LANGUAGE plpgsql STABLE
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_sort TO 'off'
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
BEGIN RETURN (
SELECT count(*)
FROM (
    SELECT
    FROM afresh.open_lanes(ARRAY[p_queue], p_tasks, p_dependencies) l
    CROSS JOIN LATERAL (
        SELECT FROM procrastinate_jobs j
        WHERE l.rank IS NULL AND j.status = 'todo' AND j.scheduled_at IS NULL
          AND j.queue_name = l.queue_name AND j.task_name = l.task_name
          AND coalesce(j.afresh_dependency, '') = l.dependency AND (j.lock IS NOT NULL) = l.locked
        UNION ALL
        SELECT FROM procrastinate_jobs j
        WHERE j.status = 'todo' AND j.scheduled_at <= now()
          AND j.queue_name = l.queue_name AND j.task_name = l.task_name
          AND coalesce(j.afresh_dependency, '') = l.dependency AND (j.lock IS NOT NULL) = l.locked
          AND (-j.priority) = l.rank
    ) ready
    LIMIT p_most
) counted
); END;
$$;

CREATE FUNCTION afresh.ready_lanes() RETURNS TABLE(queue_name character varying, task_name character varying, dependency text, locked boolean)
    LANGUAGE sql STABLE
    AS $$
WITH RECURSIVE lane AS (
    (SELECT queue_name, task_name, coalesce(afresh_dependency, '') AS dependency, (lock IS NOT NULL) AS locked
     FROM procrastinate_jobs
     WHERE status = 'todo' AND scheduled_at IS NULL
     ORDER BY queue_name, task_name, coalesce(afresh_dependency, ''), (lock IS NOT NULL)
     LIMIT 1)
    UNION ALL
    SELECT hop.*
    FROM lane l
    CROSS JOIN LATERAL (
        SELECT j.queue_name, j.task_name, coalesce(j.afresh_dependency, ''), (j.lock IS NOT NULL)
        FROM procrastinate_jobs j
        WHERE j.status = 'todo' AND j.scheduled_at IS NULL
          AND (j.queue_name, j.task_name, coalesce(j.afresh_dependency, ''), (j.lock IS NOT NULL))
              > (l.queue_name, l.task_name, l.dependency, l.locked)
        ORDER BY j.queue_name, j.task_name, coalesce(j.afresh_dependency, ''), (j.lock IS NOT NULL)
        LIMIT 1
    ) hop
)
SELECT * FROM lane;
$$;

CREATE FUNCTION afresh.record_recovery() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    INSERT INTO afresh.recovery (job_id, task_name, queue_name, retries)
    VALUES (NEW.id, NEW.task_name, NEW.queue_name, OLD.attempts);
    RETURN NULL;
END;
$$;

CREATE FUNCTION afresh.refilled(p_limit afresh.job_limit) RETURNS double precision
    LANGUAGE sql
    RETURN LEAST((COALESCE((p_limit).burst, GREATEST(1, ((p_limit).rate_jobs / 10))))::double precision, ((p_limit).tokens + ((((p_limit).rate_jobs)::double precision / (p_limit).rate_seconds) * (GREATEST((0)::numeric, EXTRACT(epoch FROM (clock_timestamp() - (p_limit).tokens_at))))::double precision)));

CREATE FUNCTION afresh.refresh_retry_samples(p_days interval, p_most bigint) RETURNS integer
    LANGUAGE plpgsql
    SET work_mem TO '64MB'
    AS $$
DECLARE
    v_since timestamptz;
    v_rows integer;
BEGIN
    LOCK TABLE afresh.retry_sample IN SHARE ROW EXCLUSIVE MODE;
    v_since := greatest(
        date_trunc('hour', now() - p_days, 'UTC'),
        (SELECT date_trunc('hour', ended_at, 'UTC') + interval '1 hour'
         FROM afresh.attempt WHERE ended_at >= now() - p_days ORDER BY ended_at DESC OFFSET p_most LIMIT 1)
    );
    DELETE FROM afresh.retry_sample;
    INSERT INTO afresh.retry_sample (task_name, failure_type, retries, successes, since)
    SELECT task_name, failure_type, sum(failed) + sum(succeeded), sum(succeeded), v_since
    FROM (
        SELECT run.task_name, run.failure_type, count(*) AS failed, 0::bigint AS succeeded
        FROM (
            SELECT a.task_name, a.failure_type, a.decision,
                   lead(a.outcome) OVER (PARTITION BY a.job_id ORDER BY a.id) AS next_outcome
            FROM afresh.attempt a
            WHERE a.ended_at >= v_since AND a.counted
        ) run
        WHERE run.decision = 'retry' AND run.next_outcome = 'failed'
        GROUP BY 1, 2
        UNION ALL
        SELECT h.task_name, h.failure_type, 0, sum(h.retries_succeeded)
        FROM afresh.failures_since(v_since) h
        GROUP BY 1, 2
    ) counted
    GROUP BY 1, 2
    HAVING sum(failed) + sum(succeeded) > 0;
    GET DIAGNOSTICS v_rows = ROW_COUNT;
    RETURN v_rows;
END;
$$;

CREATE FUNCTION afresh.runnable(p_limit integer, p_window integer, p_queues text[], p_tasks text[], p_dependencies text[], p_due_first boolean, p_locks boolean, p_shares jsonb, p_limits jsonb, OUT o_ids bigint[], OUT o_more boolean, OUT o_crowded boolean) RETURNS record
    LANGUAGE plpgsql
    AS $$
#variable_conflict use_column
BEGIN
WITH open_lane AS (
    SELECT * FROM afresh.open_lanes(p_queues, p_tasks, p_dependencies, p_shares, p_limits) WHERE p_locks OR NOT locked
),
ready AS (
    SELECT j.id, j.rank, j.lock, row_number() OVER (PARTITION BY j.rank ORDER BY j.id) AS position, false AS due,
           l.share, l.share_jobs, l.share_retries, l.room
    FROM open_lane l
    CROSS JOIN LATERAL (
        SELECT j.id, (-j.priority) AS rank, j.lock
        FROM procrastinate_jobs j
        WHERE j.status = 'todo' AND j.scheduled_at IS NULL
          AND j.queue_name = l.queue_name AND j.task_name = l.task_name
          AND coalesce(j.afresh_dependency, '') = l.dependency AND (j.lock IS NOT NULL) = l.locked
        ORDER BY (-j.priority), j.id
        LIMIT CASE WHEN l.locked THEN 2 * p_window + 16 ELSE least(p_window, l.room) END
    ) j
    WHERE l.rank IS NULL
),
due AS (
    SELECT j.id, l.rank, j.lock,
           row_number() OVER (PARTITION BY l.rank ORDER BY j.scheduled_at, j.id) AS position, true AS due,
           l.share, l.share_jobs, l.share_retries, l.room
    FROM open_lane l
    CROSS JOIN LATERAL (
        SELECT j.id, j.scheduled_at, j.lock
        FROM procrastinate_jobs j
        WHERE j.status = 'todo' AND j.scheduled_at <= now()
          AND j.queue_name = l.queue_name AND j.task_name = l.task_name
          AND coalesce(j.afresh_dependency, '') = l.dependency AND (j.lock IS NOT NULL) = l.locked
          AND (-j.priority) = l.rank
        ORDER BY j.scheduled_at, j.id
        LIMIT CASE WHEN l.locked THEN 2 * p_window + 16 ELSE least(p_window, l.room) END
    ) j
    WHERE l.rank IS NOT NULL
),
unlocked AS (
    SELECT c.*
    FROM (SELECT * FROM ready UNION ALL SELECT * FROM due) c
    WHERE c.lock IS NULL OR (
        NOT EXISTS (SELECT FROM procrastinate_jobs r WHERE r.lock = c.lock AND r.status = 'doing')
        AND c.id = (SELECT f.id FROM procrastinate_jobs f WHERE f.lock = c.lock AND f.status = 'todo'
                    ORDER BY (-f.priority), f.id LIMIT 1)
    )
),
-- Of a share as many go to jobs with a time, retries nearly all of them, as are meant for them, and those that the
-- jobs without a time leave; the others to these.
shared AS (
    SELECT s.id
    FROM (SELECT u.id, u.due, u.share_jobs,
                 row_number() OVER (PARTITION BY u.share, u.due ORDER BY u.rank, u.position) AS place,
                 least(count(*) FILTER (WHERE u.due) OVER w,
                       greatest(u.share_retries, u.share_jobs - count(*) FILTER (WHERE NOT u.due) OVER w)) AS for_due
          FROM unlocked u WHERE u.share IS NOT NULL
          WINDOW w AS (PARTITION BY u.share)) s
    WHERE s.place <= CASE WHEN s.due THEN s.for_due ELSE s.share_jobs - s.for_due END
),
-- After the shares: the first job that has passed them is admitted here, so each claim comes further.
admitted AS (
    SELECT afresh.within_limits(
        array_agg(u.id ORDER BY u.rank, u.position, u.due <> p_due_first), p_limits, p_tasks, p_dependencies
    ) AS ids
    FROM unlocked u
    WHERE p_limits <> '{}' AND u.room IS NOT NULL AND (u.share IS NULL OR u.id IN (SELECT id FROM shared))
),
candidate AS (
    SELECT c.id, row_number() OVER (ORDER BY c.rank, c.position, c.due <> p_due_first) AS turn
    FROM unlocked c
    WHERE (c.share IS NULL OR c.id IN (SELECT id FROM shared))
      AND (c.room IS NULL OR c.id = ANY ((SELECT ids FROM admitted)::bigint[]))
    ORDER BY turn
    LIMIT p_window
),
taken AS (
    -- Looked up one by one: where a table was analyzed while it was empty, a join would read all of it for each row.
    SELECT j.id, c.turn
    FROM candidate c
    CROSS JOIN LATERAL (
        SELECT id FROM procrastinate_jobs
        WHERE id = c.id AND status::text = 'todo'  -- as text: no partial index may stand in for the primary key
        LIMIT 1
        FOR UPDATE SKIP LOCKED
    ) j
    LIMIT p_limit
)
SELECT (SELECT coalesce(array_agg(id ORDER BY turn), '{}') FROM taken),
       (SELECT count(*) FROM candidate) >= p_window,
       (SELECT count(*) FROM ready WHERE lock IS NOT NULL) >= 2 * p_window + 16
       OR (SELECT count(*) FROM due WHERE lock IS NOT NULL) >= 2 * p_window + 16
INTO o_ids, o_more, o_crowded;
END;
$$;

CREATE FUNCTION afresh.runnable_lock_heads(p_limit integer, p_queues text[], p_tasks text[], p_dependencies text[], p_shares jsonb, p_limits jsonb, p_besides bigint[]) RETURNS bigint[]
    LANGUAGE plpgsql
    AS $$
DECLARE
    v_after text := coalesce(current_setting('afresh.lock_cursor', true), '');
    v_last text;
    v_seen integer;
    v_ids bigint[];
BEGIN
    WITH RECURSIVE head AS (
        (SELECT lock, id, 1 AS seen FROM procrastinate_jobs
         WHERE status = 'todo' AND lock >= v_after ORDER BY lock, (-priority), id LIMIT 1)
        UNION ALL
        SELECT hop.lock, hop.id, h.seen + 1
        FROM head h
        CROSS JOIN LATERAL (
            SELECT j.lock, j.id FROM procrastinate_jobs j
            WHERE j.status = 'todo' AND j.lock > h.lock ORDER BY j.lock, (-j.priority), j.id LIMIT 1
        ) hop
        WHERE h.seen < 256
    ),
    open_lane AS MATERIALIZED (
        SELECT * FROM afresh.open_lanes(p_queues, p_tasks, p_dependencies, p_shares, p_limits)
        WHERE locked AND share IS NULL
    ),
    free AS MATERIALIZED (
        SELECT j.id, j.priority, l.room
        FROM head
        JOIN procrastinate_jobs j ON j.id = head.id
        JOIN open_lane l ON l.queue_name = j.queue_name AND l.task_name = j.task_name
                        AND l.dependency = coalesce(j.afresh_dependency, '')
                        AND (l.rank IS NULL AND j.scheduled_at IS NULL
                             OR l.rank = (-j.priority) AND j.scheduled_at IS NOT NULL)
        WHERE j.status::text = 'todo'
          AND (j.scheduled_at IS NULL OR j.scheduled_at <= now())
          AND j.id <> ALL (p_besides)
          AND NOT EXISTS (SELECT FROM procrastinate_jobs r WHERE r.lock = j.lock AND r.status = 'doing')
    ),
    admitted AS (
        SELECT afresh.within_limits(
            p_besides || array_agg(id ORDER BY priority DESC, id), p_limits, p_tasks, p_dependencies
        ) AS ids
        FROM free WHERE p_limits <> '{}' AND room IS NOT NULL
    ),
    runnable AS (
        SELECT j.id, j.priority
        FROM free
        JOIN procrastinate_jobs j ON j.id = free.id
        WHERE j.status::text = 'todo'
          AND (free.room IS NULL OR j.id = ANY ((SELECT ids FROM admitted)::bigint[]))
        ORDER BY j.priority DESC, j.id
        LIMIT p_limit
        FOR UPDATE OF j SKIP LOCKED
    )
    SELECT (SELECT max(lock) FROM head), (SELECT count(*) FROM head),
           (SELECT coalesce(array_agg(id ORDER BY priority DESC, id), '{}') FROM runnable)
    INTO v_last, v_seen, v_ids;
    PERFORM set_config('afresh.lock_cursor', CASE WHEN v_seen < 256 THEN '' ELSE v_last END, false);
    RETURN v_ids;
END;
$$;

CREATE FUNCTION afresh.sample_tasks(p_minute timestamp with time zone, p_most integer) RETURNS integer
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
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

CREATE FUNCTION afresh.settle_endings(p_worker bigint, p_runs jsonb, p_delete boolean DEFAULT false, p_stalled_after interval DEFAULT NULL::interval, p_failures jsonb DEFAULT NULL::jsonb) RETURNS TABLE(job_id bigint, verdict text, outcome afresh.outcome)
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    AS $$
#variable_conflict use_column
DECLARE
    v_done bigint[];
    v_outcomes afresh.outcome[];
    v_ended bigint[];
BEGIN
    WITH owned AS MATERIALIZED (
        SELECT g.*, j.*
        FROM (
            SELECT * FROM ROWS FROM (jsonb_to_recordset(p_runs) AS (
                job_id bigint, attempts integer, claim bigint, outcome afresh.outcome, counted boolean,
                status procrastinate_job_status, started_at timestamptz, ended_at timestamptz, failure integer,
                decision afresh.decision, delay double precision, next_run_at timestamptz, explanation jsonb,
                reason text, priority integer, queue_name text, lock text, cause afresh.death_cause, waited jsonb
            )) WITH ORDINALITY
            ORDER BY job_id
        ) g
        CROSS JOIN LATERAL (
            SELECT j.task_name, j.queue_name AS from_queue, j.priority AS had_priority, j.args, j.lock AS had_lock,
                   j.queueing_lock, j.abort_requested, j.afresh_dependency, j.worker_id, j.afresh_letter
            FROM procrastinate_jobs j
            WHERE j.id = g.job_id AND j.status::text = 'doing' AND j.attempts = g.attempts AND CASE
                WHEN p_worker IS NULL THEN NOT EXISTS (
                    SELECT FROM procrastinate_workers w
                    WHERE w.id = j.worker_id AND w.last_heartbeat >= now() - p_stalled_after)
                ELSE j.worker_id = p_worker AND j.afresh_claim IS NOT DISTINCT FROM g.claim END
            LIMIT 1
            FOR UPDATE
        ) j
    ),
    -- In one group two runs of one queueing lock can both want to wait: the older goes on.
    ending AS (
        SELECT o.*, o.abort_requested AND o.status = 'todo' AS stopped,
               o.status = 'todo' AND o.queueing_lock IS NOT NULL AND NOT o.abort_requested AND (
                   row_number() OVER (
                       PARTITION BY o.queueing_lock, o.status = 'todo' AND NOT o.abort_requested ORDER BY o.job_id
                   ) > 1
                   OR EXISTS (SELECT FROM procrastinate_jobs t
                              WHERE t.queueing_lock = o.queueing_lock AND t.status = 'todo')
               ) AS superseded
        FROM owned o
    ),
    final AS MATERIALIZED (
        SELECT e.*,
               CASE WHEN e.stopped THEN 'aborted' WHEN e.superseded THEN 'coalesced' ELSE e.outcome END
                   ::afresh.outcome AS final_outcome,
               CASE WHEN e.stopped THEN 'aborted' WHEN e.superseded THEN 'cancelled' ELSE e.status END
                   ::procrastinate_job_status AS final_status,
               e.counted OR e.stopped AS final_counted,
               NOT (e.stopped OR e.superseded) AS goes_on,
               CASE WHEN p_failures IS NULL THEN p_runs -> (e.ordinality - 1)::integer ELSE p_failures -> e.failure END
                   AS told
        FROM ending e
    ),
    recorded AS (
        INSERT INTO afresh.attempt (
            job_id, attempt, outcome, counted, task_name, queue_name, worker_id, claim, started_at, ended_at,
            exception_type, message, traceback, failure_type, confidence, evidence, remediation, fingerprint,
            decision, delay, next_run_at, explanation, reason
        )
        SELECT f.job_id, f.attempts + 1, f.final_outcome, f.final_counted, f.task_name, f.from_queue, f.worker_id,
               f.claim, began.at, greatest(f.ended_at, began.at), w.exception_type, w.message, w.traceback,
               w.failure_type, w.confidence, w.evidence, w.remediation, w.fingerprint,
               CASE WHEN f.goes_on THEN f.decision END,
               CASE WHEN f.goes_on THEN make_interval(secs => f.delay) END,
               CASE WHEN f.goes_on THEN f.next_run_at END, f.explanation,
               CASE WHEN f.stopped THEN concat_ws(' · ', f.reason, 'asked to abort')
                    WHEN f.superseded THEN concat_ws(' · ', f.reason, 'a waiting twin has the same queueing lock')
                    ELSE f.reason END
        FROM final f
        CROSS JOIN LATERAL (
            SELECT coalesce(f.started_at, (SELECT max(e.at) FROM procrastinate_events e
                                           WHERE e.job_id = f.job_id AND e.type = 'started'), f.ended_at) AS at
        ) began
        LEFT JOIN LATERAL jsonb_to_record(f.told) AS w (
            exception_type text, message text, traceback text, failure_type text, confidence real, evidence jsonb,
            remediation text, fingerprint text
        ) ON true
        ORDER BY f.job_id
    ),
    moved AS (
        UPDATE procrastinate_jobs j
        SET status = f.final_status,
            attempts = j.attempts + f.final_counted::integer,
            abort_requested = false,
            worker_id = CASE WHEN f.final_status <> 'todo' THEN j.worker_id END,
            scheduled_at = CASE WHEN f.final_status = 'todo' THEN f.next_run_at ELSE j.scheduled_at END,
            priority = coalesce(f.priority, j.priority),
            queue_name = coalesce(f.queue_name, j.queue_name),
            lock = coalesce(f.lock, j.lock)
        FROM final f
        WHERE j.id = f.job_id
    ),
    cancelled AS (  -- Procrastinate's trigger knows no way from doing to cancelled
        INSERT INTO procrastinate_events (job_id, type)
        SELECT job_id, 'cancelled' FROM final WHERE superseded AND NOT stopped
    ),
    -- One piece of work has one letter: a replay that dies gives the letter its failure.
    reburied AS (
        UPDATE afresh.dead_letter l
        SET status = CASE WHEN l.status = 'retrying' AND l.replayed_as <> f.job_id THEN l.status ELSE 'pending' END,
            cause = f.cause, queue_name = f.from_queue, priority = f.had_priority, args = f.args, lock = f.had_lock,
            queueing_lock = f.queueing_lock, dependency = f.afresh_dependency,
            attempts = f.attempts + f.final_counted::integer, failure_type = w.failure_type,
            fingerprint = w.fingerprint, exception_type = w.exception_type, message = w.message,
            remediation = CASE w.remediation WHEN 'AUTO_RETRY' THEN 'MANUAL_RETRY' ELSE w.remediation END,
            reason = f.reason, died_at = f.ended_at, died_as = f.job_id,
            changed_at = now(), note = NULL
        FROM final f
        LEFT JOIN LATERAL jsonb_to_record(f.told) AS w (
            exception_type text, message text, failure_type text, remediation text, fingerprint text
        ) ON true
        WHERE f.cause IS NOT NULL AND (l.id = f.afresh_letter OR l.job_id = f.job_id)
        RETURNING f.job_id
    ),
    buried AS (
        INSERT INTO afresh.dead_letter (
            job_id, cause, task_name, queue_name, priority, args, lock, queueing_lock, dependency, attempts,
            failure_type, fingerprint, exception_type, message, remediation, reason, first_died_at, died_at, died_as
        )
        SELECT f.job_id, f.cause, f.task_name, f.from_queue, f.had_priority, f.args, f.had_lock, f.queueing_lock,
               f.afresh_dependency, f.attempts + f.final_counted::integer, w.failure_type, w.fingerprint,
               w.exception_type, w.message,
               CASE w.remediation WHEN 'AUTO_RETRY' THEN 'MANUAL_RETRY' ELSE w.remediation END,
               f.reason, f.ended_at, f.ended_at, f.job_id
        FROM final f
        LEFT JOIN LATERAL jsonb_to_record(f.told) AS w (
            exception_type text, message text, failure_type text, remediation text, fingerprint text
        ) ON true
        WHERE f.cause IS NOT NULL AND f.job_id NOT IN (SELECT r.job_id FROM reburied r)
        ORDER BY f.job_id
    ),
    waiting AS (
        INSERT INTO afresh.job_option AS o (job_id, waited)
        SELECT f.job_id, f.waited FROM final f WHERE f.waited IS NOT NULL AND f.goes_on ORDER BY f.job_id
        ON CONFLICT ON CONSTRAINT job_option_pkey DO UPDATE SET waited = o.waited || (
            SELECT jsonb_object_agg(key, value::double precision + coalesce((o.waited ->> key)::double precision, 0))
            FROM jsonb_each_text(excluded.waited)
        )
    ),
    rescued AS (
        INSERT INTO afresh.rescue AS r (job_id, rescues, rescued_at)
        SELECT f.job_id, 1, f.ended_at FROM final f WHERE f.outcome = 'lost' ORDER BY f.job_id
        ON CONFLICT ON CONSTRAINT rescue_pkey
        DO UPDATE SET rescues = r.rescues + 1, rescued_at = excluded.rescued_at
    ),
    -- An idle worker sleeps until the next due time it knows of, and knows nothing of locks that were let go.
    woken AS (SELECT count(pg_notify('afresh_wake', '')) FROM (SELECT FROM final LIMIT 1) AS any_run)
    SELECT coalesce(array_agg(f.job_id), '{}'), array_agg(f.final_outcome),
           array_agg(f.job_id) FILTER (WHERE f.final_status <> 'todo')
    FROM final f, woken
    INTO v_done, v_outcomes, v_ended;

    IF p_delete THEN
        DELETE FROM procrastinate_jobs WHERE id = ANY (v_ended);
    END IF;
    RETURN QUERY
    SELECT d.id, CASE WHEN d.outcome = 'coalesced' THEN 'coalesced' ELSE 'applied' END, d.outcome
    FROM unnest(v_done, v_outcomes) AS d (id, outcome);
    IF cardinality(v_done) < jsonb_array_length(p_runs) THEN
        RETURN QUERY
        SELECT g.job_id,
               CASE WHEN EXISTS (SELECT FROM afresh.attempt a
                                 WHERE a.job_id = g.job_id AND a.worker_id = p_worker AND a.claim = g.claim)
                    THEN 'already' ELSE 'lost' END,
               NULL::afresh.outcome
        FROM jsonb_to_recordset(p_runs) AS g (job_id bigint, claim bigint)
        WHERE g.job_id <> ALL (v_done);
    END IF;
END;
$$;

CREATE FUNCTION afresh.settle_successes(p_worker bigint, p_ids bigint[], p_attempts integer[], p_results jsonb DEFAULT NULL::jsonb, p_delete boolean DEFAULT false, p_notes jsonb DEFAULT NULL::jsonb, p_claims bigint[] DEFAULT NULL::bigint[], p_checkpoints jsonb DEFAULT NULL::jsonb) RETURNS TABLE(job_id bigint, verdict text)
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET cpu_index_tuple_cost TO '1000'
    AS $$
DECLARE
    v_done bigint[];
BEGIN
    WITH given AS (SELECT * FROM unnest(p_ids, p_attempts, p_claims) AS g (id, attempts, claim)),
    done AS (
        UPDATE procrastinate_jobs j
        SET status = 'succeeded', attempts = j.attempts + 1, abort_requested = false
        FROM given g
        WHERE j.id = g.id AND j.status::text = 'doing' AND j.worker_id = p_worker AND j.attempts = g.attempts
          AND j.afresh_claim IS NOT DISTINCT FROM g.claim
        RETURNING j.id, j.lock, j.queue_name, j.task_name
    ),
    woken AS (  -- A lock or a place is free that others may wait for.
        SELECT pg_notify('afresh_wake', '') FROM done
        WHERE lock IS NOT NULL
           OR EXISTS (SELECT FROM afresh.job_limit WHERE max_running IS NOT NULL)  -- Asked once, and mostly all.
              AND EXISTS (SELECT FROM afresh.job_limit l WHERE l.max_running IS NOT NULL
                          AND l.name = CASE l.kind WHEN 'queue' THEN done.queue_name ELSE done.task_name END)
        LIMIT 1
    )
    SELECT coalesce(array_agg(id), '{}') FROM done, (SELECT count(*) FROM woken) AS w INTO v_done;
    IF p_results IS NOT NULL THEN
        INSERT INTO afresh.result AS r (job_id, result)
        SELECT key::bigint, value FROM jsonb_each(p_results) WHERE key::bigint = ANY (v_done)
        ON CONFLICT ON CONSTRAINT result_pkey DO UPDATE SET result = excluded.result, note = NULL;
    END IF;
    IF p_notes IS NOT NULL THEN
        INSERT INTO afresh.result AS r (job_id, note)
        SELECT key::bigint, value FROM jsonb_each_text(p_notes) WHERE key::bigint = ANY (v_done)
        ON CONFLICT ON CONSTRAINT result_pkey DO UPDATE SET result = NULL, note = excluded.note;
    END IF;
    IF p_checkpoints IS NOT NULL THEN
        DELETE FROM afresh.checkpoint c
        USING jsonb_each(p_checkpoints) AS g, jsonb_array_elements_text(g.value) AS of (job_id)
        WHERE g.key::bigint = ANY (v_done) AND c.job_id = of.job_id::bigint;
    END IF;
    IF p_delete THEN
        DELETE FROM procrastinate_jobs WHERE id = ANY (v_done);
    END IF;
    IF cardinality(v_done) = cardinality(p_ids) THEN
        RETURN QUERY SELECT id, 'applied' FROM unnest(v_done) AS id;
    ELSE
        RETURN QUERY
        SELECT g.id, CASE
            WHEN g.id = ANY (v_done) THEN 'applied'
            WHEN p_delete AND j.id IS NULL THEN 'already'
            WHEN j.status = 'succeeded' AND j.worker_id = p_worker AND j.attempts = g.attempts + 1
                 AND j.afresh_claim IS NOT DISTINCT FROM g.claim THEN 'already'
            ELSE 'lost' END
        FROM unnest(p_ids, p_attempts, p_claims) AS g (id, attempts, claim)
        LEFT JOIN procrastinate_jobs j ON j.id = g.id;
    END IF;
END;
$$;

CREATE FUNCTION afresh.spend_tokens(p_ids bigint[], p_tasks text[], p_dependencies text[]) RETURNS void
    LANGUAGE sql
    AS $$
UPDATE afresh.job_limit l
SET tokens = afresh.refilled(l) - spent.jobs, tokens_at = clock_timestamp()
FROM (SELECT key, count(*) AS jobs
      FROM afresh.limits_of(p_ids, p_tasks, p_dependencies) CROSS JOIN LATERAL unnest(keys) AS key
      GROUP BY key) spent
WHERE spent.key = l.kind || ':' || l.name AND l.rate_jobs IS NOT NULL;
$$;

CREATE FUNCTION afresh.sum_hour(p_hour timestamp with time zone) RETURNS void
    LANGUAGE sql
    AS $$ SELECT afresh.sum_samples(3600, p_hour) $$;

CREATE FUNCTION afresh.sum_samples(p_seconds integer, p_at timestamp with time zone) RETURNS void
    LANGUAGE plpgsql
    AS $$
DECLARE
    v_narrower integer := CASE p_seconds WHEN 3600 THEN 60 ELSE 3600 END;
    v_end timestamptz := p_at + make_interval(secs => p_seconds);
BEGIN
    INSERT INTO afresh.task_sample AS s
    SELECT p_seconds, task_name, p_at, sum(submitted), sum(succeeded), sum(failed), sum(retried), sum(buried),
           sum(snoozed), sum(lost), sum(spent), max(longest),
           ARRAY[sum(durations[1]), sum(durations[2]), sum(durations[3]), sum(durations[4]), sum(durations[5]),
           sum(durations[6]), sum(durations[7]), sum(durations[8]), sum(durations[9]), sum(durations[10]),
           sum(durations[11]), sum(durations[12]), sum(durations[13]), sum(durations[14]),
           sum(durations[15])]::bigint[]
    FROM afresh.task_sample
    WHERE seconds = v_narrower AND at >= p_at AND at < v_end
    GROUP BY task_name
    ORDER BY task_name
    ON CONFLICT (seconds, task_name, at) DO UPDATE
    SET submitted = excluded.submitted, succeeded = excluded.succeeded, failed = excluded.failed,
        retried = excluded.retried, buried = excluded.buried, snoozed = excluded.snoozed, lost = excluded.lost,
        spent = excluded.spent, longest = excluded.longest, durations = excluded.durations;

    INSERT INTO afresh.queue_sample AS s
    SELECT p_seconds, queue_name, p_at, sum(ready) / steps, max(ready_most), max(oldest_seconds), sum(running) / steps
    FROM afresh.queue_sample
    CROSS JOIN (  -- A queue that came or went within that time has no row for the steps without it.
        SELECT greatest(1, count(*)) AS steps FROM afresh.service_sample
        WHERE seconds = v_narrower AND at >= p_at AND at < v_end
    ) all_of_it
    WHERE seconds = v_narrower AND at >= p_at AND at < v_end
    GROUP BY queue_name, steps
    ORDER BY queue_name
    ON CONFLICT (seconds, queue_name, at) DO UPDATE
    SET ready = excluded.ready, ready_most = excluded.ready_most, oldest_seconds = excluded.oldest_seconds,
        running = excluded.running;

    INSERT INTO afresh.service_sample AS s (seconds, at, repeats, dead_letters, workers)
    SELECT p_seconds, p_at, sum(repeats), (array_agg(dead_letters ORDER BY at DESC))[1], max(workers)
    FROM afresh.service_sample
    WHERE seconds = v_narrower AND at >= p_at AND at < v_end
    HAVING count(*) > 0
    ON CONFLICT (seconds, at) DO UPDATE
    SET repeats = excluded.repeats, dead_letters = excluded.dead_letters, workers = excluded.workers;
    PERFORM afresh.sum_service(p_seconds, p_at, v_end);
END;
$$;

COMMENT ON FUNCTION afresh.sum_samples(p_seconds integer, p_at timestamp with time zone) IS 'Sum up an hour (3600) from its minutes, or a day (86400) from its hours.';

CREATE FUNCTION afresh.sum_service(p_seconds integer, p_since timestamp with time zone, p_until timestamp with time zone) RETURNS void
    LANGUAGE sql
    AS $$
    UPDATE afresh.service_sample v
    SET submitted = t.submitted, succeeded = t.succeeded, failed = t.failed, retried = t.retried, buried = t.buried,
        snoozed = t.snoozed, lost = t.lost, spent = t.spent, longest = t.longest, durations = t.durations
    FROM (
        SELECT at, sum(submitted) AS submitted, sum(succeeded) AS succeeded, sum(failed) AS failed,
               sum(retried) AS retried, sum(buried) AS buried, sum(snoozed) AS snoozed, sum(lost) AS lost,
               sum(spent) AS spent, max(longest) AS longest,
               ARRAY[sum(durations[1]), sum(durations[2]), sum(durations[3]), sum(durations[4]), sum(durations[5]),
               sum(durations[6]), sum(durations[7]), sum(durations[8]), sum(durations[9]), sum(durations[10]),
               sum(durations[11]), sum(durations[12]), sum(durations[13]), sum(durations[14]),
               sum(durations[15])]::bigint[] AS durations
        FROM afresh.task_sample
        WHERE seconds = p_seconds AND at >= p_since AND at < p_until AND NOT afresh.is_clocked(task_name)
        GROUP BY at
    ) t
    WHERE v.seconds = p_seconds AND v.at = t.at
$$;

CREATE FUNCTION afresh.within_limits(p_ids bigint[], p_limits jsonb, p_tasks text[], p_dependencies text[]) RETURNS bigint[]
    LANGUAGE plpgsql STABLE
    AS $$
DECLARE
    v_taken jsonb := '{}';
    v_ids bigint[] := '{}';
    v_job record;
BEGIN
    FOR v_job IN SELECT * FROM afresh.limits_of(p_ids, p_tasks, p_dependencies) LOOP
        CONTINUE WHEN EXISTS (
            SELECT FROM unnest(v_job.keys) AS key
            WHERE (p_limits ->> key)::integer <= coalesce((v_taken ->> key)::integer, 0)
        );
        v_ids := v_ids || v_job.id;
        v_taken := v_taken || coalesce((
            SELECT jsonb_object_agg(key, 1 + coalesce((v_taken ->> key)::integer, 0))
            FROM unnest(v_job.keys) AS key WHERE p_limits ? key
        ), '{}');
    END LOOP;
    RETURN v_ids;
END;
$$;

CREATE FUNCTION afresh.write_progress(p_worker bigint, p_reports jsonb) RETURNS void
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    AS $$
DECLARE
    v_owned bigint[];
    v_written bigint[];
    v_numbers bigint[];
BEGIN
    -- A statement of its own: the next one then sees what the last holder of these locks has written, be it this very
    -- report, sent before over a connection that was lost. Not FOR UPDATE, which would hold up Procrastinate's events.
    SELECT array_agg(o.id)
    FROM (
        SELECT j.id
        FROM (
            SELECT * FROM jsonb_to_recordset(p_reports) AS r (job_id bigint, attempts integer, claim bigint)
            ORDER BY job_id
        ) g
        CROSS JOIN LATERAL (
            SELECT id FROM procrastinate_jobs
            WHERE id = g.job_id AND status::text = 'doing' AND worker_id = p_worker AND attempts = g.attempts
              AND afresh_claim IS NOT DISTINCT FROM g.claim
            LIMIT 1
            FOR NO KEY UPDATE
        ) j
    ) o
    INTO v_owned;

    WITH written AS (
        INSERT INTO afresh.progress (
            job_id, number, at, attempt, fraction, message, current_step, data, worker_id, report
        )
        SELECT g.job_id, coalesce(newest.number, 0) + 1, clock_timestamp(), g.attempts + 1, g.fraction, g.message,
               g.current_step, g.data, p_worker, g.report
        FROM jsonb_to_recordset(p_reports) AS g (
            job_id bigint, attempts integer, fraction double precision, message text, current_step text, data jsonb,
            report bigint
        )
        LEFT JOIN LATERAL (
            SELECT p.number FROM afresh.progress p WHERE p.job_id = g.job_id ORDER BY p.number DESC LIMIT 1
        ) newest ON true
        WHERE g.job_id = ANY (v_owned) AND NOT EXISTS (
            SELECT FROM afresh.progress p
            WHERE p.job_id = g.job_id AND p.worker_id = p_worker AND p.report >= g.report)
        RETURNING job_id, number
    )
    SELECT array_agg(job_id), array_agg(number) FROM written INTO v_written, v_numbers;

    PERFORM pg_notify('afresh_progress', id::text) FROM unnest(v_written) AS id;
    DELETE FROM afresh.progress p
    USING unnest(v_written, v_numbers) AS w (job_id, number)
    WHERE p.job_id = w.job_id AND p.number <= w.number - 200;
END;
$$;

CREATE TABLE afresh.alert (
    id bigint NOT NULL,
    rule text NOT NULL,
    subject text NOT NULL,
    severity text NOT NULL,
    opened_at timestamp with time zone NOT NULL,
    resolved_at timestamp with time zone,
    changed_at timestamp with time zone NOT NULL,
    value double precision NOT NULL,
    threshold double precision NOT NULL,
    cause text NOT NULL,
    what_to_do text NOT NULL,
    CONSTRAINT alert_check CHECK ((resolved_at >= opened_at)),
    CONSTRAINT alert_severity_check CHECK ((severity = ANY (ARRAY['info'::text, 'warning'::text, 'critical'::text])))
);

COMMENT ON COLUMN afresh.alert.subject IS 'What it is about: a task, a queue, a dependency, a host …; empty: the service.';

COMMENT ON COLUMN afresh.alert.severity IS 'The present one, or the last one before it was resolved.';

CREATE TABLE afresh.alert_delivery (
    message_id bigint NOT NULL,
    channel text NOT NULL,
    job_id bigint NOT NULL
);

COMMENT ON TABLE afresh.alert_delivery IS 'How it went, the job knows, for as long as it is kept.';

COMMENT ON COLUMN afresh.alert_delivery.channel IS 'The name of an address of ALERT_URLS, which tells nothing of its secrets.';

CREATE TABLE afresh.alert_event (
    id bigint NOT NULL,
    alert_id bigint NOT NULL,
    rule text NOT NULL,
    kind text NOT NULL,
    severity text NOT NULL,
    at timestamp with time zone NOT NULL,
    line text NOT NULL,
    what_to_do text NOT NULL,
    message_id bigint,
    CONSTRAINT alert_event_kind_check CHECK ((kind = ANY (ARRAY['opened'::text, 'escalated'::text, 'eased'::text, 'resolved'::text, 'milestone'::text])))
);

COMMENT ON COLUMN afresh.alert_event.message_id IS 'The message that tells it; null: it is still to be told. It outlives that.';

ALTER TABLE afresh.alert_event ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME afresh.alert_event_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

ALTER TABLE afresh.alert ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME afresh.alert_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE afresh.alert_message (
    id bigint NOT NULL,
    rule text NOT NULL,
    severity text NOT NULL,
    title text NOT NULL,
    body text NOT NULL,
    made_at timestamp with time zone NOT NULL
);

ALTER TABLE afresh.alert_message ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME afresh.alert_message_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE afresh.alert_watch (
    rule text NOT NULL,
    subject text NOT NULL,
    severity text NOT NULL,
    active boolean NOT NULL,
    since timestamp with time zone,
    CONSTRAINT alert_watch_is_not_at_rest CHECK ((active OR (since IS NOT NULL)))
);

COMMENT ON COLUMN afresh.alert_watch.since IS 'Since when the condition says otherwise than `active`; null: it does not.';

CREATE TABLE afresh.api_host (
    host text NOT NULL,
    memory_percent double precision NOT NULL,
    disk_percent double precision NOT NULL,
    told_at timestamp with time zone NOT NULL
);

COMMENT ON TABLE afresh.api_host IS 'How full the hosts of API processes are, as one of them said last; once a minute.';

CREATE TABLE afresh.api_key (
    id bigint NOT NULL,
    name text NOT NULL,
    role text NOT NULL,
    prefix text NOT NULL,
    hash bytea NOT NULL,
    hash_key bytea NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    last_used_at timestamp with time zone,
    revoked_at timestamp with time zone,
    CONSTRAINT api_key_hash_check CHECK ((length(hash) = 32)),
    CONSTRAINT api_key_hash_key_check CHECK ((length(hash_key) = 32)),
    CONSTRAINT api_key_name_check CHECK ((name ~ '^[A-Za-z0-9][A-Za-z0-9 ._@-]{0,62}$'::text)),
    CONSTRAINT api_key_prefix_check CHECK ((prefix ~ '^afresh_[a-z0-9]+$'::text)),
    CONSTRAINT api_key_role_check CHECK ((role = ANY (ARRAY['viewer'::text, 'operator'::text, 'admin'::text])))
);

COMMENT ON COLUMN afresh.api_key.prefix IS 'The part of the key that is no secret, by which it is looked up.';

COMMENT ON COLUMN afresh.api_key.hash IS 'BLAKE2b of the whole key, keyed with hash_key.';

COMMENT ON COLUMN afresh.api_key.hash_key IS 'Random, and new for each key: the same key twice would have two hashes.';

COMMENT ON COLUMN afresh.api_key.last_used_at IS 'To the minute: a key costs no write per request.';

ALTER TABLE afresh.api_key ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME afresh.api_key_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE afresh.attempt (
    id bigint NOT NULL,
    job_id bigint NOT NULL,
    attempt integer NOT NULL,
    outcome afresh.outcome NOT NULL,
    counted boolean NOT NULL,
    task_name text NOT NULL,
    queue_name text NOT NULL,
    worker_id bigint,
    claim bigint,
    started_at timestamp with time zone NOT NULL,
    ended_at timestamp with time zone NOT NULL,
    exception_type text,
    message text,
    traceback text,
    failure_type text,
    confidence real,
    evidence jsonb,
    remediation text,
    fingerprint text,
    decision afresh.decision,
    delay interval,
    next_run_at timestamp with time zone,
    explanation jsonb,
    reason text,
    recorded_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT attempt_attempt_check CHECK ((attempt > 0)),
    CONSTRAINT attempt_confidence_check CHECK (((confidence >= (0)::double precision) AND (confidence <= (1)::double precision))),
    CONSTRAINT attempt_delay_check CHECK ((delay >= '00:00:00'::interval)),
    CONSTRAINT attempt_ends_after_start CHECK ((ended_at >= started_at)),
    CONSTRAINT attempt_failure_is_classified CHECK (((outcome <> 'failed'::afresh.outcome) OR ((failure_type IS NOT NULL) AND (decision IS NOT NULL)))),
    CONSTRAINT attempt_waiting_costs_nothing CHECK ((NOT (counted AND (outcome = ANY (ARRAY['snoozed'::afresh.outcome, 'lost'::afresh.outcome, 'released'::afresh.outcome]))))),
    CONSTRAINT attempt_waiting_has_a_time CHECK (((outcome = 'coalesced'::afresh.outcome) OR ((next_run_at IS NOT NULL) = ((decision IS NOT NULL) AND (decision <> 'dead_letter'::afresh.decision)))))
)
WITH (autovacuum_vacuum_scale_factor='0.02', autovacuum_vacuum_threshold='1000', autovacuum_vacuum_cost_limit='1000', autovacuum_analyze_scale_factor='0.02', autovacuum_vacuum_insert_scale_factor='0.05', toast.autovacuum_vacuum_scale_factor='0.02');

COMMENT ON COLUMN afresh.attempt.attempt IS 'The number of this run among those that count; one that does not count shares it with the next.';

COMMENT ON COLUMN afresh.attempt.claim IS 'Number of the claim within its worker; with worker_id it names one run.';

COMMENT ON COLUMN afresh.attempt.explanation IS 'Ordered steps of the decision: [{"name", "text", "numbers": {"…_seconds": 1.0}}].';

COMMENT ON COLUMN afresh.attempt.reason IS 'The explanation as one line.';

COMMENT ON COLUMN afresh.attempt.recorded_at IS 'By the clock of the database, as Procrastinate''s events are; the times above are the worker''s.';

ALTER TABLE afresh.attempt ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME afresh.attempt_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE VIEW afresh.attempts AS
 SELECT a.job_id,
    a.attempt,
    (a.outcome)::text AS outcome,
    a.counted,
    a.task_name,
    a.queue_name,
    a.worker_id,
    a.started_at,
    a.ended_at,
    (a.ended_at - a.started_at) AS duration,
    a.exception_type,
    a.message,
    a.traceback,
    a.failure_type,
    a.confidence,
    a.evidence,
    a.remediation,
    a.fingerprint,
    (a.decision)::text AS decision,
    a.delay,
    a.next_run_at,
    a.explanation,
    a.reason,
    a.id AS attempt_id
   FROM afresh.attempt a
UNION ALL
 SELECT j.id AS job_id,
    j.attempts AS attempt,
    'succeeded'::text AS outcome,
    true AS counted,
    j.task_name,
    j.queue_name,
    j.worker_id,
    s.at AS started_at,
    e.at AS ended_at,
    (e.at - s.at) AS duration,
    NULL::text AS exception_type,
    NULL::text AS message,
    NULL::text AS traceback,
    NULL::text AS failure_type,
    NULL::real AS confidence,
    NULL::jsonb AS evidence,
    NULL::text AS remediation,
    NULL::text AS fingerprint,
    NULL::text AS decision,
    NULL::interval AS delay,
    NULL::timestamp with time zone AS next_run_at,
    NULL::jsonb AS explanation,
    NULL::text AS reason,
    NULL::bigint AS attempt_id
   FROM ((public.procrastinate_events e
     JOIN public.procrastinate_jobs j ON ((j.id = e.job_id)))
     CROSS JOIN LATERAL ( SELECT max(b.at) AS at
           FROM public.procrastinate_events b
          WHERE ((b.job_id = e.job_id) AND (b.type = 'started'::public.procrastinate_job_event_type))) s)
  WHERE (e.type = 'succeeded'::public.procrastinate_job_event_type);

CREATE TABLE afresh.audit (
    id bigint NOT NULL,
    at timestamp with time zone DEFAULT now() NOT NULL,
    actor text NOT NULL,
    action text NOT NULL,
    target text NOT NULL,
    reason text,
    details jsonb DEFAULT '{}'::jsonb NOT NULL,
    CONSTRAINT audit_action_check CHECK ((action ~ '^[a-z_]+\.[a-z_]+$'::text))
)
WITH (autovacuum_vacuum_scale_factor='0.02', autovacuum_analyze_scale_factor='0.02', autovacuum_vacuum_insert_scale_factor='0.05');

COMMENT ON COLUMN afresh.audit.actor IS 'A key''s name; "local" without keys, "cli" at the command line, "ADMIN_API_KEY".';

COMMENT ON COLUMN afresh.audit.action IS 'noun.verb, such as queue.pause';

ALTER TABLE afresh.audit ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME afresh.audit_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE afresh.scaling (
    singleton boolean DEFAULT true NOT NULL,
    drain_seconds double precision DEFAULT 60 NOT NULL,
    CONSTRAINT scaling_drain_seconds_check CHECK ((drain_seconds > (0)::double precision)),
    CONSTRAINT scaling_singleton_check CHECK (singleton)
);

COMMENT ON COLUMN afresh.scaling.drain_seconds IS 'Within which time a backlog should be done.';

CREATE TABLE afresh.worker (
    worker_id bigint NOT NULL,
    name text NOT NULL,
    host text NOT NULL,
    pid integer NOT NULL,
    version text NOT NULL,
    queues text[],
    concurrency integer NOT NULL,
    running integer NOT NULL,
    overloaded boolean NOT NULL,
    memory_bytes bigint NOT NULL,
    host_memory_percent real NOT NULL,
    host_cpu_percent real NOT NULL,
    host_disk_percent real NOT NULL,
    started_at timestamp with time zone NOT NULL,
    beat_at timestamp with time zone DEFAULT now() NOT NULL,
    stopped_at timestamp with time zone,
    budgets jsonb,
    CONSTRAINT worker_concurrency_check CHECK ((concurrency > 0)),
    CONSTRAINT worker_running_check CHECK ((running >= 0))
)
WITH (fillfactor='50');

COMMENT ON TABLE afresh.worker IS 'Written in the statement of the heartbeat. No foreign key: Procrastinate deletes silent workers.';

COMMENT ON COLUMN afresh.worker.queues IS 'Those it takes jobs from; null: all.';

COMMENT ON COLUMN afresh.worker.memory_bytes IS 'Of its process, resident.';

COMMENT ON COLUMN afresh.worker.host_memory_percent IS 'Of the machine or its container, whichever is fuller; so with the CPU.';

COMMENT ON COLUMN afresh.worker.stopped_at IS 'It has let go of its last job; null while it lives, and for ever if it was lost.';

COMMENT ON COLUMN afresh.worker.budgets IS 'Retries that its process owes each dependency, in tokens: the fifty with the fewest, none that is full. Null: it does not say.';

CREATE VIEW afresh.autoscaling AS
 SELECT q.queue_name,
    (COALESCE(sum(q.ready), (0)::numeric))::bigint AS ready,
    (COALESCE(sum(q.running), (0)::numeric))::bigint AS running,
    COALESCE(sum(q.ended_per_second), (0)::double precision) AS ended_per_second,
    (sum((q.seconds_per_job * q.ended_per_second)) / NULLIF(sum(q.ended_per_second), (0)::double precision)) AS seconds_per_job,
    COALESCE(sum(q.slots), (0)::double precision) AS slots,
    s.concurrency,
    s.drain_seconds,
    (ceil((round((COALESCE(sum(q.slots), (0)::double precision))::numeric, 6) / (s.concurrency)::numeric)))::integer AS wanted_workers
   FROM (( SELECT COALESCE(( SELECT w.concurrency
                   FROM afresh.worker w
                  ORDER BY w.started_at DESC
                 LIMIT 1), 10) AS concurrency,
            COALESCE(( SELECT t.drain_seconds
                   FROM afresh.scaling t), (60)::double precision) AS drain_seconds) s
     LEFT JOIN LATERAL ( SELECT m.queue_name,
            m.ready,
            m.running,
            m.ended_per_second,
            m.seconds_per_job,
            LEAST((GREATEST((m.running)::double precision, (m.ended_per_second * COALESCE(m.seconds_per_job, (0)::double precision))) + (((m.ready)::double precision * COALESCE(m.seconds_per_job, (1)::double precision)) / s.drain_seconds)), (( SELECT l.max_running
                   FROM afresh.job_limit l
                  WHERE ((l.kind = 'queue'::text) AND (l.name = m.queue_name))))::double precision) AS slots
           FROM afresh.measure_queues(100000, 5000) m(queue_name, ready, running, ended_per_second, seconds_per_job)) q ON (true))
  GROUP BY GROUPING SETS ((s.concurrency, s.drain_seconds, q.queue_name), (s.concurrency, s.drain_seconds))
 HAVING ((q.queue_name IS NOT NULL) OR (GROUPING(q.queue_name) = 1));

COMMENT ON VIEW afresh.autoscaling IS 'A row for each queue with work, and one with no name for all of them together.';

COMMENT ON COLUMN afresh.autoscaling.ready IS 'Counted up to 100000 of a queue.';

COMMENT ON COLUMN afresh.autoscaling.seconds_per_job IS 'On average, of the latest runs of this queue that ended; null: taken for 1.';

CREATE TABLE afresh.batch (
    id bigint NOT NULL,
    task_name text NOT NULL,
    total integer NOT NULL,
    skipped integer[] DEFAULT '{}'::integer[] NOT NULL,
    created_by text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT batch_total_check CHECK ((total >= 0))
);

COMMENT ON COLUMN afresh.batch.total IS 'Jobs that were made.';

COMMENT ON COLUMN afresh.batch.skipped IS 'Indices of items left out, because a job with their queueing lock waited already.';

ALTER TABLE afresh.batch ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME afresh.batch_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE afresh.breaker (
    name text NOT NULL,
    state text DEFAULT 'closed'::text NOT NULL,
    generation bigint DEFAULT 0 NOT NULL,
    changed_at timestamp with time zone,
    cause text DEFAULT ''::text NOT NULL,
    slots jsonb DEFAULT '[]'::jsonb NOT NULL,
    suspect_since timestamp with time zone,
    failure_type text,
    hold_jobs bigint[] DEFAULT '{}'::bigint[] NOT NULL,
    hold_since timestamp with time zone,
    until timestamp with time zone,
    break_seconds double precision DEFAULT 0 NOT NULL,
    reopenings integer DEFAULT 0 NOT NULL,
    probe_at timestamp with time zone,
    probe_successes integer DEFAULT 0 NOT NULL,
    permits jsonb DEFAULT '[]'::jsonb NOT NULL,
    last_permit bigint DEFAULT 0 NOT NULL,
    baseline double precision,
    ceiling double precision,
    rate double precision DEFAULT 0 NOT NULL,
    tokens double precision DEFAULT 0 NOT NULL,
    tokens_at timestamp with time zone,
    handed bigint DEFAULT 0 NOT NULL,
    step_at timestamp with time zone,
    step_successes integer DEFAULT 0 NOT NULL,
    step_failures integer DEFAULT 0 NOT NULL,
    step_starved boolean DEFAULT false NOT NULL,
    limited_at timestamp with time zone,
    CONSTRAINT breaker_generation_check CHECK ((generation >= 0)),
    CONSTRAINT breaker_name_check CHECK (((length(name) >= 1) AND (length(name) <= 255))),
    CONSTRAINT breaker_state_check CHECK ((state = ANY (ARRAY['closed'::text, 'open'::text, 'half_open'::text, 'ramping'::text, 'held'::text, 'isolated'::text])))
)
WITH (fillfactor='50');

COMMENT ON TABLE afresh.breaker IS 'What is known of each dependency that ever failed; one without a row is closed.';

CREATE TABLE afresh.breaker_event (
    id bigint NOT NULL,
    name text NOT NULL,
    generation bigint NOT NULL,
    before text NOT NULL,
    after text NOT NULL,
    at timestamp with time zone NOT NULL,
    cause text NOT NULL
);

ALTER TABLE afresh.breaker_event ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME afresh.breaker_event_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE afresh.breaker_probe (
    job_id bigint NOT NULL,
    name text NOT NULL,
    permit bigint NOT NULL,
    since timestamp with time zone DEFAULT now() NOT NULL
);

ALTER TABLE afresh.bulk ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME afresh.bulk_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE afresh.checkpoint (
    job_id bigint NOT NULL,
    name text NOT NULL,
    version integer NOT NULL,
    value jsonb NOT NULL,
    attempt integer NOT NULL,
    saved_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT checkpoint_attempt_check CHECK ((attempt > 0)),
    CONSTRAINT checkpoint_name_check CHECK (((char_length(name) >= 1) AND (char_length(name) <= 255)))
);

COMMENT ON COLUMN afresh.checkpoint.version IS 'Of the code that made it; what another version made is not used.';

CREATE TABLE afresh.dead_letter (
    id bigint NOT NULL,
    job_id bigint NOT NULL,
    status afresh.dead_letter_status DEFAULT 'pending'::afresh.dead_letter_status NOT NULL,
    cause afresh.death_cause NOT NULL,
    task_name text NOT NULL,
    queue_name text NOT NULL,
    priority integer NOT NULL,
    args jsonb NOT NULL,
    lock text,
    queueing_lock text,
    dependency text,
    attempts integer NOT NULL,
    failure_type text,
    fingerprint text,
    exception_type text,
    message text,
    remediation text,
    reason text,
    first_died_at timestamp with time zone NOT NULL,
    died_at timestamp with time zone NOT NULL,
    died_as bigint NOT NULL,
    replays integer DEFAULT 0 NOT NULL,
    replayed_as bigint,
    bulk_id bigint,
    changed_at timestamp with time zone DEFAULT now() NOT NULL,
    note text,
    CONSTRAINT dead_letter_is_abandoned_with_a_note CHECK (((status <> 'abandoned'::afresh.dead_letter_status) OR (note IS NOT NULL))),
    CONSTRAINT dead_letter_is_replayed_by_a_job CHECK (((status <> ALL (ARRAY['retrying'::afresh.dead_letter_status, 'resolved'::afresh.dead_letter_status])) OR (replayed_as IS NOT NULL))),
    CONSTRAINT dead_letter_replays_check CHECK ((replays >= 0))
)
WITH (autovacuum_vacuum_scale_factor='0.05', autovacuum_analyze_scale_factor='0.02');

COMMENT ON COLUMN afresh.dead_letter.attempts IS 'Of that job, runs that counted.';

COMMENT ON COLUMN afresh.dead_letter.died_as IS 'The job whose end it tells: the first one, or a replay that died again.';

COMMENT ON COLUMN afresh.dead_letter.replayed_as IS 'The newest job in its place, whatever became of it.';

COMMENT ON COLUMN afresh.dead_letter.bulk_id IS 'The bulk action that replayed or abandoned it, if that was the last to touch it.';

COMMENT ON COLUMN afresh.dead_letter.changed_at IS 'When it came into its status.';

COMMENT ON COLUMN afresh.dead_letter.note IS 'Why it was abandoned.';

CREATE TABLE afresh.dead_letter_count (
    died_on date NOT NULL,
    status afresh.dead_letter_status NOT NULL,
    cause afresh.death_cause NOT NULL,
    task_name text NOT NULL,
    failure_type text,
    remediation text,
    letters bigint NOT NULL,
    folded boolean DEFAULT false NOT NULL
)
WITH (autovacuum_vacuum_scale_factor='0', autovacuum_vacuum_threshold='1000');

COMMENT ON TABLE afresh.dead_letter_count IS 'To be summed: a kind can have several rows, also negative ones.';

COMMENT ON COLUMN afresh.dead_letter_count.died_on IS 'The day of the newest death, in UTC.';

ALTER TABLE afresh.dead_letter ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME afresh.dead_letter_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE afresh.failure_fold (
    singleton boolean DEFAULT true NOT NULL,
    folded_id bigint DEFAULT 0 NOT NULL,
    noted_id bigint DEFAULT 0 NOT NULL,
    noted_by xid8 DEFAULT '0'::xid8 NOT NULL,
    CONSTRAINT failure_fold_notes_ahead CHECK ((noted_id >= folded_id)),
    CONSTRAINT failure_fold_singleton_check CHECK (singleton)
);

COMMENT ON COLUMN afresh.failure_fold.folded_id IS 'The attempts up to this one are folded; those after it must not be purged.';

CREATE TABLE afresh.failure_mark (
    fingerprint text NOT NULL,
    resolved_attempt bigint,
    resolved_at timestamp with time zone,
    resolved_by text,
    resolved_because text,
    muted_until timestamp with time zone,
    muted_at timestamp with time zone,
    muted_by text,
    muted_because text,
    CONSTRAINT failure_mark_muted_by_somebody CHECK ((num_nulls(muted_until, muted_at, muted_by, muted_because) = ANY (ARRAY[0, 4]))),
    CONSTRAINT failure_mark_resolved_by_somebody CHECK ((num_nulls(resolved_attempt, resolved_at, resolved_by, resolved_because) = ANY (ARRAY[0, 4])))
);

COMMENT ON COLUMN afresh.failure_mark.resolved_attempt IS 'The newest failure of the group then: a later one is a regression.';

CREATE VIEW afresh.failure_groups AS
 WITH fresh AS MATERIALIZED (
         SELECT fresh_groups.fingerprint,
            fresh_groups.failures,
            fresh_groups.deaths,
            fresh_groups.first_seen,
            fresh_groups.last_seen,
            fresh_groups.last_attempt,
            fresh_groups.failure_type,
            fresh_groups.exception_type,
            fresh_groups.message,
            fresh_groups.remediation,
            fresh_groups.traceback,
            fresh_groups.tasks,
            fresh_groups.dependencies
           FROM afresh.fresh_groups() fresh_groups(fingerprint, failures, deaths, first_seen, last_seen, last_attempt, failure_type, exception_type, message, remediation, traceback, tasks, dependencies)
        )
 SELECT g.fingerprint,
    g.failures,
    g.deaths,
    g.first_seen,
    g.last_seen,
    g.last_attempt,
    g.failure_type,
    g.exception_type,
    g.message,
    g.remediation,
    g.traceback,
    g.tasks,
    g.dependencies,
    afresh.group_status(g.last_attempt, m.resolved_attempt, m.muted_until) AS status,
    m.resolved_at,
    m.resolved_by,
    m.resolved_because,
    m.muted_until,
    m.muted_at,
    m.muted_by,
    m.muted_because
   FROM (( SELECT failure_group.fingerprint,
            failure_group.failures,
            failure_group.deaths,
            failure_group.first_seen,
            failure_group.last_seen,
            failure_group.last_attempt,
            failure_group.failure_type,
            failure_group.exception_type,
            failure_group.message,
            failure_group.remediation,
            failure_group.traceback,
            failure_group.tasks,
            failure_group.dependencies
           FROM afresh.failure_group
          WHERE (NOT (failure_group.fingerprint IN ( SELECT fresh.fingerprint
                   FROM fresh)))
        UNION ALL
         SELECT fresh.fingerprint,
            fresh.failures,
            fresh.deaths,
            fresh.first_seen,
            fresh.last_seen,
            fresh.last_attempt,
            fresh.failure_type,
            fresh.exception_type,
            fresh.message,
            fresh.remediation,
            fresh.traceback,
            fresh.tasks,
            fresh.dependencies
           FROM fresh) g
     LEFT JOIN afresh.failure_mark m ON ((m.fingerprint = g.fingerprint)));

CREATE TABLE afresh.hold (
    kind afresh.hold_kind NOT NULL,
    name text NOT NULL,
    reason text NOT NULL,
    held_by text NOT NULL,
    held_at timestamp with time zone DEFAULT now() NOT NULL,
    generation bigint
);

COMMENT ON COLUMN afresh.hold.held_at IS 'Since when nobody is let in but probes; of a ramp: since when it lets jobs out.';

COMMENT ON COLUMN afresh.hold.generation IS 'Of the breaker that holds the dependency back; null: somebody does.';

CREATE TABLE afresh.idempotency (
    actor text NOT NULL,
    route text NOT NULL,
    key text NOT NULL,
    body_hash bytea NOT NULL,
    job_id bigint,
    batch_id bigint,
    repeats integer DEFAULT 0 NOT NULL,
    claimed_at timestamp with time zone DEFAULT now() NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    CONSTRAINT idempotency_body_hash_check CHECK ((octet_length(body_hash) = 32)),
    CONSTRAINT idempotency_key_check CHECK (((length(key) >= 1) AND (length(key) <= 255))),
    CONSTRAINT idempotency_repeats_check CHECK ((repeats >= 0)),
    CONSTRAINT idempotency_stands_for_one CHECK ((num_nonnulls(job_id, batch_id) = 1))
)
WITH (autovacuum_vacuum_scale_factor='0.02', autovacuum_analyze_scale_factor='0.02');

COMMENT ON COLUMN afresh.idempotency.actor IS 'The API key that was used; "local" where there are none.';

COMMENT ON COLUMN afresh.idempotency.body_hash IS 'SHA-256 of the validated body in canonical JSON.';

COMMENT ON COLUMN afresh.idempotency.repeats IS 'Requests that were answered with what the first one made.';

CREATE TABLE afresh.idempotency_repeat (
    id bigint NOT NULL,
    at timestamp with time zone DEFAULT now() NOT NULL,
    jobs integer DEFAULT 1 NOT NULL,
    CONSTRAINT idempotency_repeat_jobs_check CHECK ((jobs >= 0))
);

COMMENT ON COLUMN afresh.idempotency_repeat.jobs IS 'That the request would have made.';

ALTER TABLE afresh.idempotency_repeat ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME afresh.idempotency_repeat_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE afresh.job_option (
    job_id bigint NOT NULL,
    max_retries integer,
    timeout interval,
    deadline timestamp with time zone,
    task_type text,
    correlation_id text,
    metadata jsonb,
    submitted_by text,
    batch_id bigint,
    replay_of bigint,
    waited jsonb DEFAULT '{}'::jsonb NOT NULL,
    cost text,
    deadline_watched boolean DEFAULT true NOT NULL,
    CONSTRAINT job_option_check CHECK ((replay_of < job_id)),
    CONSTRAINT job_option_correlation_id_check CHECK ((length(correlation_id) <= 255)),
    CONSTRAINT job_option_cost_check CHECK ((cost = ANY (ARRAY['normal'::text, 'deferrable'::text]))),
    CONSTRAINT job_option_max_retries_check CHECK ((max_retries >= 0)),
    CONSTRAINT job_option_metadata_check CHECK ((jsonb_typeof(metadata) = 'object'::text)),
    CONSTRAINT job_option_submitted_by_check CHECK ((length(submitted_by) <= 255)),
    CONSTRAINT job_option_timeout_check CHECK ((timeout > '00:00:00'::interval)),
    CONSTRAINT job_option_waited_check CHECK ((jsonb_typeof(waited) = 'object'::text))
)
WITH (autovacuum_vacuum_scale_factor='0.02', autovacuum_analyze_scale_factor='0.02');

COMMENT ON COLUMN afresh.job_option.submitted_by IS 'The name of the API key; null: no key was needed, or no API asked.';

COMMENT ON COLUMN afresh.job_option.replay_of IS 'The ended job in whose place this one runs.';

COMMENT ON COLUMN afresh.job_option.waited IS 'Seconds snoozed so far by reason, such as {"rate_limit": 30}; MAX_WAIT bounds each.';

COMMENT ON COLUMN afresh.job_option.cost IS 'deferrable: it may wait for the quiet hours; null: as its task says.';

COMMENT ON COLUMN afresh.job_option.deadline_watched IS 'False: the deadline has passed, and what that meant for the job is done.';

CREATE TABLE afresh.rescue (
    job_id bigint NOT NULL,
    rescues integer NOT NULL,
    rescued_at timestamp with time zone NOT NULL,
    CONSTRAINT rescue_rescues_check CHECK ((rescues > 0))
);

CREATE TABLE afresh.result (
    job_id bigint NOT NULL,
    result jsonb,
    note text,
    CONSTRAINT result_or_note CHECK (((result IS NULL) = (note IS NOT NULL)))
)
WITH (autovacuum_vacuum_scale_factor='0.02', autovacuum_analyze_scale_factor='0.02', toast.autovacuum_vacuum_scale_factor='0.02');

COMMENT ON COLUMN afresh.result.note IS 'Why what the task returned is not stored: too large, or not JSON.';

CREATE TABLE afresh.task_dependency (
    task_name text NOT NULL,
    dependency text NOT NULL,
    replay_on_recovery boolean DEFAULT false NOT NULL
);

COMMENT ON COLUMN afresh.task_dependency.replay_on_recovery IS 'Whether its dead letters of an outage are replayed when that is over.';

CREATE VIEW afresh.jobs AS
 SELECT j.id,
    j.task_name,
    j.queue_name,
    (j.status)::text AS status,
    afresh.job_state(j.status, j.scheduled_at, ((j.attempts > 0) OR (EXISTS ( SELECT
           FROM afresh.attempt a
          WHERE (a.job_id = j.id))))) AS state,
    j.priority,
    j.attempts,
    o.max_retries,
    o.timeout,
    o.deadline,
        CASE
            WHEN (j.status <> 'todo'::public.procrastinate_job_status) THEN NULL::text
            WHEN (EXISTS ( SELECT
               FROM afresh.hold h
              WHERE ((h.kind = 'queue'::afresh.hold_kind) AND (h.name = (j.queue_name)::text)))) THEN 'queue_paused'::text
            WHEN (EXISTS ( SELECT
               FROM afresh.hold h
              WHERE ((h.kind = 'dependency'::afresh.hold_kind) AND (h.name = COALESCE(j.afresh_dependency, relies.dependency))))) THEN 'dependency'::text
            WHEN (EXISTS ( SELECT
               FROM public.procrastinate_jobs r_1
              WHERE ((r_1.lock = j.lock) AND ((r_1.status = 'doing'::public.procrastinate_job_status) OR ((r_1.status = 'todo'::public.procrastinate_job_status) AND ((r_1.priority > j.priority) OR ((r_1.priority = j.priority) AND (r_1.id < j.id)))))))) THEN 'lock'::text
            WHEN (COALESCE((j.scheduled_at <= now()), true) AND (ARRAY[('queue:'::text || (j.queue_name)::text), ('task:'::text || (j.task_name)::text), ('dependency:'::text || COALESCE(j.afresh_dependency, relies.dependency))] && ( SELECT afresh.limits_reached() AS limits_reached))) THEN 'limit'::text
            ELSE NULL::text
        END AS waiting_for,
    times.created_at,
    j.scheduled_at,
    times.started_at,
        CASE
            WHEN (j.status = ANY (ARRAY['succeeded'::public.procrastinate_job_status, 'failed'::public.procrastinate_job_status, 'cancelled'::public.procrastinate_job_status, 'aborted'::public.procrastinate_job_status])) THEN times.ended_at
            ELSE NULL::timestamp with time zone
        END AS ended_at,
    j.lock,
    j.queueing_lock,
    j.afresh_dependency AS dependency,
    j.args,
    j.abort_requested,
    j.worker_id,
    o.task_type,
    o.correlation_id,
    COALESCE(o.metadata, '{}'::jsonb) AS metadata,
    o.submitted_by,
    o.batch_id,
    o.replay_of,
    ( SELECT max(x.job_id) AS max
           FROM afresh.job_option x
          WHERE (x.replay_of = j.id)) AS replayed_as,
    COALESCE(j.afresh_letter, ( SELECT l.id
           FROM afresh.dead_letter l
          WHERE (l.job_id = j.id))) AS dead_letter_id,
    r.result,
    COALESCE(rs.rescues, 0) AS rescues,
    last.exception_type AS last_exception_type,
    last.message AS last_message,
    last.failure_type AS last_failure_type,
    last.reason AS last_reason,
    last.ended_at AS last_failed_at
   FROM ((((((public.procrastinate_jobs j
     LEFT JOIN afresh.job_option o ON ((o.job_id = j.id)))
     LEFT JOIN afresh.result r ON ((r.job_id = j.id)))
     LEFT JOIN afresh.rescue rs ON ((rs.job_id = j.id)))
     LEFT JOIN afresh.task_dependency relies ON ((relies.task_name = (j.task_name)::text)))
     CROSS JOIN LATERAL ( SELECT min(e.at) FILTER (WHERE (e.type = 'deferred'::public.procrastinate_job_event_type)) AS created_at,
            max(e.at) FILTER (WHERE (e.type = 'started'::public.procrastinate_job_event_type)) AS started_at,
            max(e.at) FILTER (WHERE (e.type = ANY (ARRAY['succeeded'::public.procrastinate_job_event_type, 'failed'::public.procrastinate_job_event_type, 'cancelled'::public.procrastinate_job_event_type, 'aborted'::public.procrastinate_job_event_type]))) AS ended_at
           FROM public.procrastinate_events e
          WHERE (e.job_id = j.id)) times)
     LEFT JOIN LATERAL ( SELECT a.job_id,
            a.exception_type,
            a.message,
            a.failure_type,
            a.reason,
            a.ended_at
           FROM afresh.attempt a
          WHERE ((a.job_id = j.id) AND (a.failure_type IS NOT NULL))
          ORDER BY a.id DESC
         LIMIT 1) last ON (true));

CREATE TABLE afresh.jokes (
    id integer NOT NULL,
    type text NOT NULL,
    setup text NOT NULL,
    punchline text NOT NULL,
    fetched_at timestamp with time zone DEFAULT now() NOT NULL
);

CREATE TABLE afresh.mail_recipient (
    job_id bigint NOT NULL,
    address text NOT NULL,
    code integer NOT NULL,
    message text NOT NULL,
    said_to bigint NOT NULL,
    said_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT mail_recipient_code_check CHECK (((code >= 200) AND (code <= 599)))
);

COMMENT ON COLUMN afresh.mail_recipient.job_id IS 'The first of the jobs that ran in each other''s place.';

COMMENT ON COLUMN afresh.mail_recipient.code IS 'Below 300: taken. From 500 on: refused for good, until a replay asks again.';

COMMENT ON COLUMN afresh.mail_recipient.said_to IS 'The job that asked.';

CREATE TABLE afresh.migration (
    number integer NOT NULL,
    name text NOT NULL,
    checksum text NOT NULL,
    applied_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT migration_checksum_check CHECK ((checksum ~ '^[0-9a-f]{64}$'::text)),
    CONSTRAINT migration_number_check CHECK ((number > 0))
);

CREATE TABLE afresh.milestone (
    name text NOT NULL,
    reached double precision NOT NULL,
    reached_at timestamp with time zone NOT NULL
);

COMMENT ON TABLE afresh.milestone IS 'The highest that was told of each count, so that none is told twice.';

CREATE TABLE afresh.monitoring (
    singleton boolean DEFAULT true NOT NULL,
    evaluated_at timestamp with time zone,
    stopped_at timestamp with time zone,
    stopped_until timestamp with time zone,
    stopped_by text,
    stopped_because text,
    CONSTRAINT monitoring_singleton_check CHECK (singleton),
    CONSTRAINT monitoring_stopped_by_somebody CHECK ((num_nulls(stopped_at, stopped_until, stopped_by, stopped_because) = ANY (ARRAY[0, 4])))
);

COMMENT ON COLUMN afresh.monitoring.stopped_until IS 'Until then nothing is sampled and nobody is told; then it goes on by itself.';

CREATE TABLE afresh.progress (
    job_id bigint NOT NULL,
    number bigint NOT NULL,
    at timestamp with time zone NOT NULL,
    attempt integer NOT NULL,
    fraction double precision NOT NULL,
    message text,
    current_step text,
    data jsonb,
    worker_id bigint NOT NULL,
    report bigint NOT NULL,
    CONSTRAINT progress_attempt_check CHECK ((attempt > 0)),
    CONSTRAINT progress_data_check CHECK ((jsonb_typeof(data) = 'object'::text)),
    CONSTRAINT progress_fraction_check CHECK (((fraction >= (0)::double precision) AND (fraction <= (1)::double precision))),
    CONSTRAINT progress_number_check CHECK ((number > 0))
)
WITH (autovacuum_vacuum_scale_factor='0.02', autovacuum_analyze_scale_factor='0.02');

COMMENT ON COLUMN afresh.progress.number IS 'From 1 within the job, without gaps; watchers resume after it.';

COMMENT ON COLUMN afresh.progress.report IS 'Rises within its worker: a report that is sent twice is stored once.';

CREATE TABLE afresh.purge (
    singleton boolean DEFAULT true NOT NULL,
    holder uuid,
    held_until timestamp with time zone DEFAULT '1970-01-01 00:00:00+00'::timestamp with time zone NOT NULL,
    began_at timestamp with time zone,
    ended_at timestamp with time zone,
    removed jsonb DEFAULT '{}'::jsonb NOT NULL,
    CONSTRAINT purge_removed_check CHECK ((jsonb_typeof(removed) = 'object'::text)),
    CONSTRAINT purge_singleton_check CHECK (singleton)
);

COMMENT ON TABLE afresh.purge IS 'A lease: a purge that died is succeeded once that has run out.';

COMMENT ON COLUMN afresh.purge.ended_at IS 'Null: it is at work, or it died.';

COMMENT ON COLUMN afresh.purge.removed IS 'Rows that the last purge removed so far, such as {"jobs": 1200}.';

CREATE TABLE afresh.queue_sample (
    seconds integer NOT NULL,
    queue_name text NOT NULL,
    at timestamp with time zone NOT NULL,
    ready double precision NOT NULL,
    ready_most bigint NOT NULL,
    oldest_seconds double precision NOT NULL,
    running double precision NOT NULL,
    CONSTRAINT queue_sample_seconds_check CHECK ((seconds = ANY (ARRAY[60, 3600, 86400])))
);

COMMENT ON COLUMN afresh.queue_sample.ready IS 'Jobs that could run, counted up to a limit; of an hour, the mean.';

COMMENT ON COLUMN afresh.queue_sample.oldest_seconds IS 'How long the oldest of them had waited; of an hour, the most.';

CREATE TABLE afresh.queue_work (
    queue_name text NOT NULL,
    at timestamp with time zone NOT NULL,
    ended double precision NOT NULL,
    spent double precision NOT NULL,
    CONSTRAINT queue_work_ended_check CHECK ((ended > (0)::double precision)),
    CONSTRAINT queue_work_spent_check CHECK ((spent >= (0)::double precision))
);

COMMENT ON TABLE afresh.queue_work IS 'Runs of a queue that ended in the minute that began at `at`, and the seconds they took in all.';

CREATE TABLE afresh.recovery (
    id bigint NOT NULL,
    job_id bigint NOT NULL,
    task_name text NOT NULL,
    queue_name text NOT NULL,
    retries integer NOT NULL,
    recovered_at timestamp with time zone DEFAULT now() NOT NULL
)
WITH (autovacuum_vacuum_scale_factor='0', autovacuum_vacuum_threshold='1000');

ALTER TABLE afresh.recovery ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME afresh.recovery_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE afresh.retry_sample (
    task_name text NOT NULL,
    failure_type text NOT NULL,
    retries bigint NOT NULL,
    successes bigint NOT NULL,
    since timestamp with time zone NOT NULL,
    refreshed_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT retry_sample_check CHECK (((successes >= 0) AND (successes <= retries))),
    CONSTRAINT retry_sample_retries_check CHECK ((retries > 0))
);

COMMENT ON TABLE afresh.retry_sample IS 'Written anew by afresh.refresh_retry_samples; workers read it into their memory.';

COMMENT ON COLUMN afresh.retry_sample.successes IS 'Retries with which their job succeeded.';

CREATE TABLE afresh.service_sample (
    seconds integer NOT NULL,
    at timestamp with time zone NOT NULL,
    repeats bigint NOT NULL,
    dead_letters bigint NOT NULL,
    workers integer NOT NULL,
    submitted bigint DEFAULT 0 NOT NULL,
    succeeded bigint DEFAULT 0 NOT NULL,
    failed bigint DEFAULT 0 NOT NULL,
    retried bigint DEFAULT 0 NOT NULL,
    buried bigint DEFAULT 0 NOT NULL,
    snoozed bigint DEFAULT 0 NOT NULL,
    lost bigint DEFAULT 0 NOT NULL,
    spent double precision DEFAULT 0 NOT NULL,
    longest double precision DEFAULT 0 NOT NULL,
    durations bigint[] DEFAULT '{}'::bigint[] NOT NULL,
    CONSTRAINT service_sample_seconds_check CHECK ((seconds = ANY (ARRAY[60, 3600, 86400])))
);

COMMENT ON COLUMN afresh.service_sample.repeats IS 'Jobs that an Idempotency-Key kept from being made twice.';

COMMENT ON COLUMN afresh.service_sample.dead_letters IS 'Those pending at the end.';

COMMENT ON COLUMN afresh.service_sample.submitted IS 'Of all tasks together but those that the clock runs for the service itself; so are the next ones (see afresh.task_sample).';

CREATE TABLE afresh.sign_in (
    token_hash bytea NOT NULL,
    holder text NOT NULL,
    signed_in_at timestamp with time zone DEFAULT now() NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    CONSTRAINT sign_in_token_hash_check CHECK ((octet_length(token_hash) = 32))
);

COMMENT ON COLUMN afresh.sign_in.holder IS 'The prefix of the key; of ADMIN_API_KEY, which has none, its hash by the token, which another value does not have.';

CREATE TABLE afresh.storage_parameter (
    table_name text NOT NULL,
    name text NOT NULL,
    given text NOT NULL,
    former text
);

COMMENT ON TABLE afresh.storage_parameter IS 'What we set on tables of Procrastinate''s.';

COMMENT ON COLUMN afresh.storage_parameter.name IS 'As ALTER TABLE takes it; that of its TOAST table begins with toast.';

COMMENT ON COLUMN afresh.storage_parameter.former IS 'What it was before; null: nothing was set.';

CREATE TABLE afresh.task_sample (
    seconds integer NOT NULL,
    task_name text NOT NULL,
    at timestamp with time zone NOT NULL,
    submitted bigint NOT NULL,
    succeeded bigint NOT NULL,
    failed bigint NOT NULL,
    retried bigint NOT NULL,
    buried bigint NOT NULL,
    snoozed bigint NOT NULL,
    lost bigint NOT NULL,
    spent double precision NOT NULL,
    longest double precision NOT NULL,
    durations bigint[] NOT NULL,
    CONSTRAINT task_sample_seconds_check CHECK ((seconds = ANY (ARRAY[60, 3600, 86400])))
);

COMMENT ON TABLE afresh.task_sample IS 'What became of the jobs of a task in the minute, hour or day (UTC) that began at `at`.';

COMMENT ON COLUMN afresh.task_sample.submitted IS 'Jobs made.';

COMMENT ON COLUMN afresh.task_sample.failed IS 'Attempts that failed, whatever followed; with `succeeded`, all attempts that ran to their end.';

COMMENT ON COLUMN afresh.task_sample.retried IS 'Decisions to try again.';

COMMENT ON COLUMN afresh.task_sample.buried IS 'Dead letters; with `succeeded`, all jobs that came to their end.';

COMMENT ON COLUMN afresh.task_sample.lost IS 'Attempts whose worker was lost.';

COMMENT ON COLUMN afresh.task_sample.spent IS 'Seconds that its attempts took, in all.';

COMMENT ON COLUMN afresh.task_sample.durations IS 'Attempts by duration: up to each of afresh.duration_bounds(), and longer ones.';

ALTER TABLE ONLY afresh.alert_delivery
    ADD CONSTRAINT alert_delivery_pkey PRIMARY KEY (message_id, channel);

ALTER TABLE ONLY afresh.alert_event
    ADD CONSTRAINT alert_event_pkey PRIMARY KEY (id);

ALTER TABLE ONLY afresh.alert_message
    ADD CONSTRAINT alert_message_pkey PRIMARY KEY (id);

ALTER TABLE ONLY afresh.alert
    ADD CONSTRAINT alert_pkey PRIMARY KEY (id);

ALTER TABLE ONLY afresh.alert_watch
    ADD CONSTRAINT alert_watch_pkey PRIMARY KEY (rule, subject, severity);

ALTER TABLE ONLY afresh.api_host
    ADD CONSTRAINT api_host_pkey PRIMARY KEY (host);

ALTER TABLE ONLY afresh.api_key
    ADD CONSTRAINT api_key_pkey PRIMARY KEY (id);

ALTER TABLE ONLY afresh.api_key
    ADD CONSTRAINT api_key_prefix_key UNIQUE (prefix);

ALTER TABLE ONLY afresh.attempt
    ADD CONSTRAINT attempt_pkey PRIMARY KEY (id);

ALTER TABLE ONLY afresh.audit
    ADD CONSTRAINT audit_pkey PRIMARY KEY (id);

ALTER TABLE ONLY afresh.batch
    ADD CONSTRAINT batch_pkey PRIMARY KEY (id);

ALTER TABLE ONLY afresh.breaker_event
    ADD CONSTRAINT breaker_event_pkey PRIMARY KEY (id);

ALTER TABLE ONLY afresh.breaker
    ADD CONSTRAINT breaker_pkey PRIMARY KEY (name);

ALTER TABLE ONLY afresh.breaker_probe
    ADD CONSTRAINT breaker_probe_pkey PRIMARY KEY (job_id, name);

ALTER TABLE ONLY afresh.bulk
    ADD CONSTRAINT bulk_pkey PRIMARY KEY (id);

ALTER TABLE ONLY afresh.bulk
    ADD CONSTRAINT bulk_token_hash_key UNIQUE (token_hash);

ALTER TABLE ONLY afresh.checkpoint
    ADD CONSTRAINT checkpoint_pkey PRIMARY KEY (job_id, name);

ALTER TABLE ONLY afresh.dead_letter
    ADD CONSTRAINT dead_letter_job_id_key UNIQUE (job_id);

ALTER TABLE ONLY afresh.dead_letter
    ADD CONSTRAINT dead_letter_pkey PRIMARY KEY (id);

ALTER TABLE ONLY afresh.failure_fold
    ADD CONSTRAINT failure_fold_pkey PRIMARY KEY (singleton);

ALTER TABLE ONLY afresh.failure_group_hour
    ADD CONSTRAINT failure_group_hour_pkey PRIMARY KEY (fingerprint, hour);

ALTER TABLE ONLY afresh.failure_group
    ADD CONSTRAINT failure_group_pkey PRIMARY KEY (fingerprint);

ALTER TABLE ONLY afresh.failure_hour
    ADD CONSTRAINT failure_hour_pkey PRIMARY KEY (hour, task_name, failure_type, queue_name);

ALTER TABLE ONLY afresh.failure_mark
    ADD CONSTRAINT failure_mark_pkey PRIMARY KEY (fingerprint);

ALTER TABLE ONLY afresh.hold
    ADD CONSTRAINT hold_pkey PRIMARY KEY (kind, name);

ALTER TABLE ONLY afresh.idempotency
    ADD CONSTRAINT idempotency_pkey PRIMARY KEY (actor, route, key);

ALTER TABLE ONLY afresh.idempotency_repeat
    ADD CONSTRAINT idempotency_repeat_pkey PRIMARY KEY (id);

ALTER TABLE ONLY afresh.job_limit
    ADD CONSTRAINT job_limit_pkey PRIMARY KEY (kind, name);

ALTER TABLE ONLY afresh.job_option
    ADD CONSTRAINT job_option_pkey PRIMARY KEY (job_id);

ALTER TABLE ONLY afresh.jokes
    ADD CONSTRAINT jokes_pkey PRIMARY KEY (id);

ALTER TABLE ONLY afresh.mail_recipient
    ADD CONSTRAINT mail_recipient_pkey PRIMARY KEY (job_id, address);

ALTER TABLE ONLY afresh.migration
    ADD CONSTRAINT migration_pkey PRIMARY KEY (number);

ALTER TABLE ONLY afresh.milestone
    ADD CONSTRAINT milestone_pkey PRIMARY KEY (name);

ALTER TABLE ONLY afresh.monitoring
    ADD CONSTRAINT monitoring_pkey PRIMARY KEY (singleton);

ALTER TABLE ONLY afresh.progress
    ADD CONSTRAINT progress_pkey PRIMARY KEY (job_id, number);

ALTER TABLE ONLY afresh.purge
    ADD CONSTRAINT purge_pkey PRIMARY KEY (singleton);

ALTER TABLE ONLY afresh.queue_sample
    ADD CONSTRAINT queue_sample_pkey PRIMARY KEY (seconds, queue_name, at);

ALTER TABLE ONLY afresh.queue_work
    ADD CONSTRAINT queue_work_pkey PRIMARY KEY (queue_name, at);

ALTER TABLE ONLY afresh.recovery
    ADD CONSTRAINT recovery_pkey PRIMARY KEY (id);

ALTER TABLE ONLY afresh.rescue
    ADD CONSTRAINT rescue_pkey PRIMARY KEY (job_id);

ALTER TABLE ONLY afresh.result
    ADD CONSTRAINT result_pkey PRIMARY KEY (job_id);

ALTER TABLE ONLY afresh.retry_sample
    ADD CONSTRAINT retry_sample_pkey PRIMARY KEY (task_name, failure_type);

ALTER TABLE ONLY afresh.scaling
    ADD CONSTRAINT scaling_pkey PRIMARY KEY (singleton);

ALTER TABLE ONLY afresh.service_sample
    ADD CONSTRAINT service_sample_pkey PRIMARY KEY (seconds, at);

ALTER TABLE ONLY afresh.sign_in
    ADD CONSTRAINT sign_in_pkey PRIMARY KEY (token_hash);

ALTER TABLE ONLY afresh.storage_parameter
    ADD CONSTRAINT storage_parameter_pkey PRIMARY KEY (table_name, name);

ALTER TABLE ONLY afresh.task_dependency
    ADD CONSTRAINT task_dependency_pkey PRIMARY KEY (task_name);

ALTER TABLE ONLY afresh.task_sample
    ADD CONSTRAINT task_sample_pkey PRIMARY KEY (seconds, task_name, at);

ALTER TABLE ONLY afresh.worker
    ADD CONSTRAINT worker_pkey PRIMARY KEY (worker_id);

CREATE INDEX alert_event_alert_idx ON afresh.alert_event USING btree (alert_id, id);

CREATE INDEX alert_event_message_idx ON afresh.alert_event USING btree (message_id) WHERE (message_id IS NOT NULL);

CREATE INDEX alert_event_untold_idx ON afresh.alert_event USING btree (rule, id) WHERE (message_id IS NULL);

CREATE INDEX alert_message_rule_idx ON afresh.alert_message USING btree (rule, made_at);

CREATE UNIQUE INDEX alert_open_idx ON afresh.alert USING btree (rule, subject) WHERE (resolved_at IS NULL);

CREATE INDEX alert_resolved_idx ON afresh.alert USING btree (resolved_at) WHERE (resolved_at IS NOT NULL);

CREATE INDEX alert_rule_idx ON afresh.alert USING btree (rule, id);

CREATE UNIQUE INDEX api_key_name_idx ON afresh.api_key USING btree (name) WHERE (revoked_at IS NULL);

CREATE INDEX attempt_ended_idx ON afresh.attempt USING btree (ended_at);

CREATE INDEX attempt_fingerprint_idx ON afresh.attempt USING btree (fingerprint, id) WHERE (fingerprint IS NOT NULL);

CREATE INDEX attempt_job_idx ON afresh.attempt USING btree (job_id, id);

CREATE INDEX attempt_off_peak_idx ON afresh.attempt USING btree (ended_at) WHERE ((decision = ANY (ARRAY['retry'::afresh.decision, 'snooze'::afresh.decision])) AND (explanation @> '[{"name": "off_peak"}]'::jsonb));

CREATE INDEX audit_action_idx ON afresh.audit USING btree (action, id);

CREATE INDEX audit_actor_idx ON afresh.audit USING btree (actor, id);

CREATE INDEX audit_target_idx ON afresh.audit USING btree (target, id);

CREATE INDEX breaker_event_name_idx ON afresh.breaker_event USING btree (name, id);

CREATE INDEX bulk_expires_idx ON afresh.bulk USING btree (expires_at) WHERE (job_id IS NULL);

CREATE INDEX dead_letter_bulk_idx ON afresh.dead_letter USING btree (bulk_id, status, changed_at) WHERE (bulk_id IS NOT NULL);

CREATE INDEX dead_letter_cause_idx ON afresh.dead_letter USING btree (cause, id);

CREATE UNIQUE INDEX dead_letter_count_kind_idx ON afresh.dead_letter_count USING btree (died_on, status, cause, task_name, failure_type, remediation) NULLS NOT DISTINCT WHERE folded;

CREATE INDEX dead_letter_count_unfolded_idx ON afresh.dead_letter_count USING btree (died_on) WHERE (NOT folded);

CREATE INDEX dead_letter_dependency_idx ON afresh.dead_letter USING btree (dependency, id) WHERE (dependency IS NOT NULL);

CREATE INDEX dead_letter_died_idx ON afresh.dead_letter USING btree (died_at);

CREATE INDEX dead_letter_fingerprint_idx ON afresh.dead_letter USING btree (fingerprint, id);

CREATE INDEX dead_letter_queue_idx ON afresh.dead_letter USING btree (queue_name, id);

CREATE INDEX dead_letter_status_idx ON afresh.dead_letter USING btree (status, id);

CREATE INDEX dead_letter_task_idx ON afresh.dead_letter USING btree (task_name, id);

CREATE INDEX dead_letter_type_idx ON afresh.dead_letter USING btree (failure_type, id);

CREATE INDEX dead_letter_waiting_idx ON afresh.dead_letter USING btree (fingerprint, id) WHERE (status = 'pending'::afresh.dead_letter_status);

CREATE INDEX failure_group_hour_hour_idx ON afresh.failure_group_hour USING btree (hour);

CREATE INDEX failure_group_largest_idx ON afresh.failure_group USING btree (failures DESC, last_attempt DESC);

CREATE INDEX failure_group_newest_idx ON afresh.failure_group USING btree (last_attempt DESC);

CREATE INDEX failure_group_seen_idx ON afresh.failure_group USING btree (last_seen);

CREATE INDEX idempotency_expires_idx ON afresh.idempotency USING btree (expires_at);

CREATE INDEX idempotency_repeat_at_idx ON afresh.idempotency_repeat USING btree (at);

CREATE INDEX job_option_batch_idx ON afresh.job_option USING btree (batch_id, job_id) WHERE (batch_id IS NOT NULL);

CREATE INDEX job_option_correlation_idx ON afresh.job_option USING btree (correlation_id) WHERE (correlation_id IS NOT NULL);

CREATE INDEX job_option_deadline_idx ON afresh.job_option USING btree (deadline) WHERE ((deadline IS NOT NULL) AND deadline_watched);

CREATE INDEX job_option_metadata_idx ON afresh.job_option USING gin (metadata jsonb_path_ops) WHERE (metadata IS NOT NULL);

CREATE INDEX job_option_replay_idx ON afresh.job_option USING btree (replay_of, job_id) WHERE (replay_of IS NOT NULL);

CREATE INDEX mail_recipient_said_at_idx ON afresh.mail_recipient USING btree (said_at);

CREATE INDEX progress_at_idx ON afresh.progress USING btree (at);

CREATE INDEX queue_sample_at_idx ON afresh.queue_sample USING btree (seconds, at);

CREATE INDEX sign_in_expires_at ON afresh.sign_in USING btree (expires_at);

CREATE INDEX task_dependency_dependency_idx ON afresh.task_dependency USING btree (dependency);

CREATE INDEX task_sample_at_idx ON afresh.task_sample USING btree (seconds, at);

CREATE TRIGGER count_letter AFTER INSERT OR DELETE OR UPDATE OF status, died_at, cause, task_name, failure_type, remediation ON afresh.dead_letter FOR EACH ROW EXECUTE FUNCTION afresh.count_letter();

CREATE TRIGGER job_limit_changed AFTER INSERT OR DELETE OR UPDATE OF max_running, rate_jobs, rate_seconds, burst ON afresh.job_limit FOR EACH STATEMENT EXECUTE FUNCTION afresh.announce_limit();

ALTER TABLE ONLY afresh.alert_delivery
    ADD CONSTRAINT alert_delivery_message_id_fkey FOREIGN KEY (message_id) REFERENCES afresh.alert_message(id) ON DELETE CASCADE;

ALTER TABLE ONLY afresh.alert_event
    ADD CONSTRAINT alert_event_alert_id_fkey FOREIGN KEY (alert_id) REFERENCES afresh.alert(id) ON DELETE CASCADE;

ALTER TABLE procrastinate_jobs ADD COLUMN afresh_claim bigint;
ALTER TABLE procrastinate_jobs ADD COLUMN afresh_dependency text;
ALTER TABLE procrastinate_jobs ADD COLUMN afresh_letter bigint;
CREATE INDEX afresh_jobs_due_idx ON public.procrastinate_jobs USING btree (queue_name, task_name, COALESCE(afresh_dependency, ''::text), ((lock IS NOT NULL)), ((- priority)), scheduled_at, id) WHERE ((status = 'todo'::procrastinate_job_status) AND (scheduled_at IS NOT NULL));
CREATE INDEX afresh_jobs_lock_idx ON public.procrastinate_jobs USING btree (lock, ((- priority)), id) WHERE ((status = 'todo'::procrastinate_job_status) AND (lock IS NOT NULL));
CREATE INDEX afresh_jobs_ready_idx ON public.procrastinate_jobs USING btree (queue_name, task_name, COALESCE(afresh_dependency, ''::text), ((lock IS NOT NULL)), ((- priority)), id) WHERE ((status = 'todo'::procrastinate_job_status) AND (scheduled_at IS NULL));
CREATE INDEX afresh_jobs_unsuccessful_idx ON public.procrastinate_jobs USING btree (status, id) WHERE (status = ANY (ARRAY['failed'::procrastinate_job_status, 'cancelled'::procrastinate_job_status, 'aborted'::procrastinate_job_status]));
CREATE TRIGGER afresh_follow_replay AFTER UPDATE OF status ON public.procrastinate_jobs FOR EACH ROW WHEN (((new.afresh_letter IS NOT NULL) AND (new.status = ANY (ARRAY['succeeded'::procrastinate_job_status, 'failed'::procrastinate_job_status, 'cancelled'::procrastinate_job_status, 'aborted'::procrastinate_job_status])))) EXECUTE FUNCTION follow_replay();
CREATE TRIGGER afresh_follow_replay_gone AFTER DELETE ON public.procrastinate_jobs FOR EACH ROW WHEN (((old.afresh_letter IS NOT NULL) AND (old.status = ANY (ARRAY['todo'::procrastinate_job_status, 'doing'::procrastinate_job_status])))) EXECUTE FUNCTION follow_replay();
CREATE TRIGGER afresh_follow_revival AFTER UPDATE OF status ON public.procrastinate_jobs FOR EACH ROW WHEN (((old.status = 'failed'::procrastinate_job_status) AND (new.status = 'todo'::procrastinate_job_status))) EXECUTE FUNCTION follow_revival();
CREATE TRIGGER afresh_forget_belongings AFTER DELETE ON public.procrastinate_jobs REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION forget_belongings();
CREATE TRIGGER afresh_jobs_recovered AFTER UPDATE OF status ON public.procrastinate_jobs FOR EACH ROW WHEN (((old.status = 'doing'::procrastinate_job_status) AND (new.status = 'succeeded'::procrastinate_job_status) AND (old.attempts > 0))) EXECUTE FUNCTION record_recovery();
ALTER TABLE procrastinate_events SET (autovacuum_analyze_scale_factor=0.02, autovacuum_analyze_threshold=5000, autovacuum_vacuum_cost_limit=1000, autovacuum_vacuum_insert_scale_factor=0.05, autovacuum_vacuum_scale_factor=0.01, autovacuum_vacuum_threshold=5000);
ALTER TABLE procrastinate_jobs SET (autovacuum_analyze_scale_factor=0.02, autovacuum_analyze_threshold=5000, autovacuum_vacuum_cost_limit=1000, autovacuum_vacuum_insert_scale_factor=0.05, autovacuum_vacuum_scale_factor=0.01, autovacuum_vacuum_threshold=5000);
