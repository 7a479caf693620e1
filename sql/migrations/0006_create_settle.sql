-- Settling: the one place where the end of a run is written. Both functions take many runs at once, in one statement
-- and so in one transaction: the history row, the job's new state and the dead letter stand or fall together.
--
-- A settlement is fenced: it applies only while the job still runs under the worker and the number of attempts that
-- the claim saw. Each job given comes back with a verdict:
--   applied    written now
--   already    written before, by an earlier try whose answer was lost
--   lost       the job was taken from this worker; nothing is written
--   coalesced  written, as superseded by a waiting twin with the same queueing lock

CREATE TABLE afresh.result (
    job_id bigint PRIMARY KEY,
    result jsonb NOT NULL
);

-- p_results: null, or {"<job id>": <result>} for the jobs that returned something.
CREATE FUNCTION afresh.settle_successes(
    p_worker bigint, p_ids bigint[], p_attempts integer[], p_results jsonb DEFAULT NULL, p_delete boolean DEFAULT false
) RETURNS TABLE (job_id bigint, verdict text)
LANGUAGE plpgsql
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $$
DECLARE
    v_done bigint[];
BEGIN
    WITH given AS (SELECT * FROM unnest(p_ids, p_attempts) AS g (id, attempts)),
    done AS (
        UPDATE procrastinate_jobs j
        SET status = 'succeeded', attempts = j.attempts + 1, abort_requested = false
        FROM given g
        WHERE j.id = g.id AND j.status::text = 'doing' AND j.worker_id = p_worker AND j.attempts = g.attempts
        RETURNING j.id, j.lock
    ),
    woken AS (
        SELECT pg_notify('afresh_wake', '') FROM done WHERE lock IS NOT NULL LIMIT 1
    )
    SELECT coalesce(array_agg(id), '{}') FROM done, (SELECT count(*) FROM woken) AS w INTO v_done;
    IF p_results IS NOT NULL THEN
        INSERT INTO afresh.result AS r (job_id, result)
        SELECT key::bigint, value FROM jsonb_each(p_results) WHERE key::bigint = ANY (v_done)
        ON CONFLICT ON CONSTRAINT result_pkey DO UPDATE SET result = excluded.result;
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
            WHEN j.status = 'succeeded' AND j.worker_id = p_worker AND j.attempts = g.attempts + 1 THEN 'already'
            ELSE 'lost' END
        FROM unnest(p_ids, p_attempts) AS g (id, attempts)
        LEFT JOIN procrastinate_jobs j ON j.id = g.id;
    END IF;
END;
$$;

-- Everything that is not a success. p_runs is an array of objects with the fields of afresh.attempt (times as text,
-- delay in seconds) and besides
--   attempts   as claimed, before this run
--   status     what becomes of the job: todo, failed or aborted
--   priority, queue_name, lock
--              null, or what a strategy changes about the job
--   cause      of the dead letter, or null
--   waited     null, or {"<reason>": seconds}, added to what the job has waited so far
--
-- A job that should wait again but was asked to abort ends as aborted. One that would wait behind a twin with the
-- same queueing lock ends as coalesced: the twin does its work.
--
-- p_worker null: a rescue. The fence is then that the job's worker is gone, or silent for p_stalled_after.
CREATE FUNCTION afresh.settle_endings(
    p_worker bigint, p_runs jsonb, p_delete boolean DEFAULT false, p_stalled_after interval DEFAULT NULL
) RETURNS TABLE (job_id bigint, verdict text, outcome afresh.outcome)
LANGUAGE plpgsql
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $$
#variable_conflict use_column
DECLARE
    v_done bigint[];
    v_outcomes afresh.outcome[];
    v_ended bigint[];
BEGIN
    WITH given AS (
        SELECT * FROM jsonb_to_recordset(p_runs) AS g (
            job_id bigint, attempts integer, claim bigint, outcome afresh.outcome, counted boolean,
            status procrastinate_job_status, started_at timestamptz, ended_at timestamptz,
            exception_type text, message text, traceback text, failure_type text, confidence real, evidence jsonb,
            remediation text, fingerprint text, decision afresh.decision, delay double precision,
            next_run_at timestamptz, explanation jsonb, reason text,
            priority integer, queue_name text, lock text, cause afresh.death_cause, waited jsonb
        )
    ),
    owned AS MATERIALIZED (
        SELECT j.id, j.task_name, j.queue_name, j.priority, j.args, j.lock, j.queueing_lock, j.abort_requested,
               j.afresh_dependency, j.worker_id
        FROM given g
        JOIN procrastinate_jobs j ON j.id = g.job_id
        LEFT JOIN procrastinate_workers w ON w.id = j.worker_id
        WHERE j.status::text = 'doing' AND j.attempts = g.attempts AND CASE
            WHEN p_worker IS NULL THEN w.id IS NULL OR w.last_heartbeat < now() - p_stalled_after
            ELSE j.worker_id = p_worker END
        ORDER BY j.id
        FOR UPDATE OF j
    ),
    -- In one group two runs of one queueing lock can both want to wait: the older goes on.
    twin AS (
        SELECT o.id
        FROM (SELECT o.id, o.queueing_lock, row_number() OVER (PARTITION BY o.queueing_lock ORDER BY o.id) AS place
              FROM owned o JOIN given g ON g.job_id = o.id
              WHERE g.status = 'todo' AND o.queueing_lock IS NOT NULL AND NOT o.abort_requested) o
        WHERE o.place > 1 OR EXISTS (
            SELECT FROM procrastinate_jobs t WHERE t.queueing_lock = o.queueing_lock AND t.status = 'todo')
    ),
    ending AS (
        SELECT o.id, o.task_name, o.queue_name, o.worker_id, o.abort_requested AND g.status = 'todo' AS stopped,
               t.id IS NOT NULL AS superseded, g.attempts, g.claim, g.outcome, g.counted, g.status, g.decision, g.delay,
               g.next_run_at, g.cause, g.waited, g.ended_at,
               coalesce(g.started_at, (SELECT max(e.at) FROM procrastinate_events e
                                       WHERE e.job_id = o.id AND e.type = 'started'), g.ended_at) AS started_at
        FROM given g
        JOIN owned o ON o.id = g.job_id
        LEFT JOIN twin t ON t.id = g.job_id
    ),
    final AS (
        SELECT e.*,
               CASE WHEN e.stopped THEN 'aborted' WHEN e.superseded THEN 'coalesced' ELSE e.outcome END
                   ::afresh.outcome AS final_outcome,
               CASE WHEN e.stopped THEN 'aborted' WHEN e.superseded THEN 'cancelled' ELSE e.status END
                   ::procrastinate_job_status AS final_status,
               e.counted OR e.stopped AS final_counted,
               NOT (e.stopped OR e.superseded) AS goes_on
        FROM ending e
    ),
    recorded AS (
        INSERT INTO afresh.attempt (
            job_id, attempt, outcome, counted, task_name, queue_name, worker_id, claim, started_at, ended_at,
            exception_type, message, traceback, failure_type, confidence, evidence, remediation, fingerprint,
            decision, delay, next_run_at, explanation, reason
        )
        SELECT f.id, f.attempts + 1, f.final_outcome, f.final_counted, f.task_name, f.queue_name, f.worker_id, f.claim,
               f.started_at, greatest(f.ended_at, f.started_at), g.exception_type, g.message, g.traceback,
               g.failure_type, g.confidence, g.evidence, g.remediation, g.fingerprint,
               CASE WHEN f.goes_on THEN f.decision END,
               CASE WHEN f.goes_on THEN make_interval(secs => f.delay) END,
               CASE WHEN f.goes_on THEN f.next_run_at END, g.explanation,
               CASE WHEN f.stopped THEN concat_ws(' · ', g.reason, 'asked to abort')
                    WHEN f.superseded THEN concat_ws(' · ', g.reason, 'a waiting twin has the same queueing lock')
                    ELSE g.reason END
        FROM final f
        JOIN given g ON g.job_id = f.id
        ORDER BY f.id
    ),
    moved AS (
        UPDATE procrastinate_jobs j
        SET status = f.final_status,
            attempts = j.attempts + f.final_counted::integer,
            abort_requested = false,
            worker_id = CASE WHEN f.final_status <> 'todo' THEN j.worker_id END,
            scheduled_at = CASE WHEN f.final_status = 'todo' THEN f.next_run_at ELSE j.scheduled_at END,
            priority = coalesce(g.priority, j.priority),
            queue_name = coalesce(g.queue_name, j.queue_name),
            lock = coalesce(g.lock, j.lock)
        FROM final f
        JOIN given g ON g.job_id = f.id
        WHERE j.id = f.id
    ),
    cancelled AS (  -- Procrastinate's trigger knows no way from doing to cancelled
        INSERT INTO procrastinate_events (job_id, type) SELECT id, 'cancelled' FROM final WHERE superseded AND NOT stopped
    ),
    buried AS (
        INSERT INTO afresh.dead_letter (
            job_id, cause, task_name, queue_name, priority, args, lock, queueing_lock, dependency, attempts,
            failure_type, fingerprint, exception_type, message, remediation, reason, died_at
        )
        SELECT o.id, f.cause, o.task_name, o.queue_name, o.priority, o.args, o.lock, o.queueing_lock,
               o.afresh_dependency, f.attempts + f.final_counted::integer,
               g.failure_type, g.fingerprint, g.exception_type, g.message, g.remediation, g.reason, g.ended_at
        FROM final f
        JOIN owned o ON o.id = f.id
        JOIN given g ON g.job_id = f.id
        WHERE f.cause IS NOT NULL
        ORDER BY o.id
    ),
    waiting AS (
        INSERT INTO afresh.job_option AS o (job_id, waited)
        SELECT f.id, f.waited FROM final f WHERE f.waited IS NOT NULL AND f.goes_on ORDER BY f.id
        ON CONFLICT ON CONSTRAINT job_option_pkey DO UPDATE SET waited = o.waited || (
            SELECT jsonb_object_agg(key, value::double precision + coalesce((o.waited ->> key)::double precision, 0))
            FROM jsonb_each_text(excluded.waited)
        )
    ),
    rescued AS (
        INSERT INTO afresh.rescue AS r (job_id, rescues, rescued_at)
        SELECT f.id, 1, f.ended_at FROM final f WHERE f.outcome = 'lost' ORDER BY f.id
        ON CONFLICT ON CONSTRAINT rescue_pkey
        DO UPDATE SET rescues = r.rescues + 1, rescued_at = excluded.rescued_at
    ),
    -- An idle worker sleeps until the next due time it knows of, and knows nothing of locks that were let go.
    woken AS (SELECT count(pg_notify('afresh_wake', '')) FROM (SELECT FROM final LIMIT 1) AS any_run)
    SELECT coalesce(array_agg(f.id), '{}'), array_agg(f.final_outcome),
           array_agg(f.id) FILTER (WHERE f.final_status <> 'todo')
    FROM final f, woken
    INTO v_done, v_outcomes, v_ended;

    IF p_delete THEN
        DELETE FROM procrastinate_jobs WHERE id = ANY (v_ended);
    END IF;
    RETURN QUERY
    SELECT g.job_id,
           CASE WHEN d.outcome = 'coalesced' THEN 'coalesced'
                WHEN d.id IS NOT NULL THEN 'applied'
                WHEN EXISTS (SELECT FROM afresh.attempt a
                             WHERE a.job_id = g.job_id AND a.worker_id = p_worker AND a.claim = g.claim) THEN 'already'
                ELSE 'lost' END,
           d.outcome
    FROM jsonb_to_recordset(p_runs) AS g (job_id bigint, claim bigint)
    LEFT JOIN unnest(v_done, v_outcomes) AS d (id, outcome) ON d.id = g.job_id;
END;
$$;
