-- The longer a group of ends is, the more the planner preferred to walk over all jobs, and through the whole group for
-- each of them: half a second for what takes ten milliseconds. It believes that next to no job is the worker's own,
-- which is so until the moment that counts. Each end now looks up its own job, whatever the planner knows.
--
-- The texts of the functions are otherwise those of 0029 and 0011; what their parameters hold is said there.

ALTER FUNCTION afresh.settle_successes(bigint, bigint[], integer[], jsonb, boolean, jsonb, bigint[], jsonb)
    SET cpu_index_tuple_cost = 1000;

CREATE OR REPLACE FUNCTION afresh.settle_endings(
    p_worker bigint, p_runs jsonb, p_delete boolean DEFAULT false, p_stalled_after interval DEFAULT NULL,
    p_failures jsonb DEFAULT NULL
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

CREATE OR REPLACE FUNCTION afresh.write_progress(p_worker bigint, p_reports jsonb) RETURNS void
LANGUAGE plpgsql
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
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
