-- What people read. Nothing here is stored: a job's state follows from Procrastinate's row and our history.

-- One of ready, scheduled, retrying, running, succeeded, failed, cancelled, aborted.
-- p_ran: whether the job has run before, counted or not.
CREATE FUNCTION afresh.job_state(
    p_status procrastinate_job_status, p_scheduled_at timestamptz, p_ran boolean
) RETURNS text
LANGUAGE sql STABLE
RETURN CASE
    WHEN p_status = 'todo' AND p_scheduled_at > now() THEN CASE WHEN p_ran THEN 'retrying' ELSE 'scheduled' END
    WHEN p_status = 'todo' THEN 'ready'
    WHEN p_status IN ('doing', 'aborting') THEN 'running'
    ELSE p_status::text END;

-- An id before which no job was made at p_at or later. Ids and times of creation rise together, save for transactions
-- that were open for long; the caller leaves room for those. A search by halves, so that no index of times is needed.
CREATE FUNCTION afresh.first_job_since(p_at timestamptz) RETURNS bigint
LANGUAGE plpgsql STABLE
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
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

-- The limits (migration 0019) that let no job start now, as `afresh.limit_keys` names them.
CREATE FUNCTION afresh.limits_reached() RETURNS text[]
LANGUAGE plpgsql STABLE
AS $$
BEGIN
    RETURN ARRAY(SELECT key FROM afresh.limit_room() WHERE room = 0);
END;
$$;

-- Every ended run of every job: ours as recorded, successes as Procrastinate's events tell them.
CREATE VIEW afresh.attempts AS
SELECT a.job_id, a.attempt, a.outcome::text AS outcome, a.counted, a.task_name, a.queue_name, a.worker_id,
       a.started_at, a.ended_at, a.ended_at - a.started_at AS duration,
       a.exception_type, a.message, a.traceback, a.failure_type, a.confidence, a.evidence, a.remediation, a.fingerprint,
       a.decision::text AS decision, a.delay, a.next_run_at, a.explanation, a.reason, a.id AS attempt_id
FROM afresh.attempt a
UNION ALL
SELECT j.id, j.attempts, 'succeeded', true, j.task_name, j.queue_name, j.worker_id,
       s.at, e.at, e.at - s.at,
       NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
FROM procrastinate_events e
JOIN procrastinate_jobs j ON j.id = e.job_id
CROSS JOIN LATERAL (
    SELECT max(b.at) AS at FROM procrastinate_events b WHERE b.job_id = e.job_id AND b.type = 'started'
) s
WHERE e.type = 'succeeded';

CREATE VIEW afresh.jobs AS
SELECT j.id, j.task_name, j.queue_name, j.status::text AS status,
       afresh.job_state(
           j.status, j.scheduled_at, j.attempts > 0 OR EXISTS (SELECT FROM afresh.attempt a WHERE a.job_id = j.id)
       ) AS state,
       j.priority, j.attempts, o.max_retries, o.timeout, o.deadline,
       CASE WHEN j.status <> 'todo' THEN NULL
            WHEN EXISTS (SELECT FROM afresh.hold h WHERE h.kind = 'queue' AND h.name = j.queue_name) THEN 'queue_paused'
            WHEN EXISTS (SELECT FROM afresh.hold h
                         WHERE h.kind = 'dependency' AND h.name = coalesce(j.afresh_dependency, relies.dependency))
                 THEN 'dependency'
            WHEN EXISTS (SELECT FROM procrastinate_jobs r WHERE r.lock = j.lock AND (
                             r.status = 'doing' OR r.status = 'todo'
                             AND (r.priority > j.priority OR r.priority = j.priority AND r.id < j.id))) THEN 'lock'
            WHEN coalesce(j.scheduled_at <= now(), true)
                 AND ARRAY['queue:' || j.queue_name, 'task:' || j.task_name,
                           'dependency:' || coalesce(j.afresh_dependency, relies.dependency)]
                     && (SELECT afresh.limits_reached()) THEN 'limit'
       END AS waiting_for,
       times.created_at, j.scheduled_at, times.started_at,
       CASE WHEN j.status IN ('succeeded', 'failed', 'cancelled', 'aborted') THEN times.ended_at END AS ended_at,
       j.lock, j.queueing_lock, j.afresh_dependency AS dependency, j.args, j.abort_requested, j.worker_id,
       o.task_type, o.correlation_id, coalesce(o.metadata, '{}') AS metadata, o.submitted_by, o.batch_id, o.replay_of,
       (SELECT max(x.job_id) FROM afresh.job_option x WHERE x.replay_of = j.id) AS replayed_as,
       coalesce(j.afresh_letter, (SELECT l.id FROM afresh.dead_letter l WHERE l.job_id = j.id)) AS dead_letter_id,
       r.result, coalesce(rs.rescues, 0) AS rescues,
       last.exception_type AS last_exception_type, last.message AS last_message, last.failure_type AS last_failure_type,
       last.reason AS last_reason, last.ended_at AS last_failed_at
FROM procrastinate_jobs j
LEFT JOIN afresh.job_option o ON o.job_id = j.id
LEFT JOIN afresh.result r ON r.job_id = j.id
LEFT JOIN afresh.rescue rs ON rs.job_id = j.id
LEFT JOIN afresh.task_dependency relies ON relies.task_name = j.task_name
-- All events of the job at once. One ORDER BY ... LIMIT 1 for each kind would invite the planner, where it has no
-- statistics yet, to walk over all events there are in the order of their ids.
CROSS JOIN LATERAL (
    SELECT min(e.at) FILTER (WHERE e.type = 'deferred') AS created_at,
           max(e.at) FILTER (WHERE e.type = 'started') AS started_at,
           max(e.at) FILTER (WHERE e.type IN ('succeeded', 'failed', 'cancelled', 'aborted')) AS ended_at
    FROM procrastinate_events e WHERE e.job_id = j.id
) times
LEFT JOIN LATERAL (
    SELECT a.job_id, a.exception_type, a.message, a.failure_type, a.reason, a.ended_at
    FROM afresh.attempt a WHERE a.job_id = j.id AND a.failure_type IS NOT NULL ORDER BY a.id DESC LIMIT 1
) last ON true;
