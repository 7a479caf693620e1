-- What the finished steps of a task made, so that a retry does not do them again. A job keeps its own through retries,
-- snoozes and rescues; one that runs in the place of another with the same arguments goes on from that one's. They go
-- in the statement that settles the success, or with the job.

CREATE TABLE afresh.checkpoint (
    job_id bigint NOT NULL,
    name text NOT NULL CHECK (char_length(name) BETWEEN 1 AND 255),
    version integer NOT NULL,
    value jsonb NOT NULL,
    attempt integer NOT NULL CHECK (attempt > 0),
    saved_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (job_id, name)
);

COMMENT ON COLUMN afresh.checkpoint.version IS 'Of the code that made it; what another version made is not used.';

-- As before, and besides
-- p_checkpoints: null, or {"<job id>": [<job ids>]}: of which jobs the checkpoints go where that job succeeded.
DROP FUNCTION afresh.settle_successes(bigint, bigint[], integer[], jsonb, boolean, jsonb, bigint[]);

CREATE FUNCTION afresh.settle_successes(
    p_worker bigint, p_ids bigint[], p_attempts integer[], p_results jsonb DEFAULT NULL, p_delete boolean DEFAULT false,
    p_notes jsonb DEFAULT NULL, p_claims bigint[] DEFAULT NULL, p_checkpoints jsonb DEFAULT NULL
) RETURNS TABLE (job_id bigint, verdict text)
LANGUAGE plpgsql
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
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

CREATE OR REPLACE FUNCTION afresh.forget_belongings() RETURNS trigger
LANGUAGE plpgsql
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
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
