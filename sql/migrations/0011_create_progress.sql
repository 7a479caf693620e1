-- How far a job has come, as its task reports it. The newest row of a job is where it stands; the rows before it are
-- its history, of which the newest 200 are kept. Like all history they outlive the job.

CREATE TABLE afresh.progress (
    job_id bigint NOT NULL,
    number bigint NOT NULL CHECK (number > 0),
    at timestamptz NOT NULL,
    attempt integer NOT NULL CHECK (attempt > 0),
    fraction double precision NOT NULL CHECK (fraction BETWEEN 0 AND 1),
    message text,
    current_step text,
    data jsonb CHECK (jsonb_typeof(data) = 'object'),
    worker_id bigint NOT NULL,
    report bigint NOT NULL,
    PRIMARY KEY (job_id, number)
);

COMMENT ON COLUMN afresh.progress.number IS 'From 1 within the job, without gaps; watchers resume after it.';
COMMENT ON COLUMN afresh.progress.report IS 'Rises within its worker: a report that is sent twice is stored once.';

CREATE INDEX progress_at_idx ON afresh.progress (at);

-- Store reports of jobs that this worker still runs, and say so to who watches them. p_reports is an array of objects
-- with the columns above, the number of the claim and the attempts that it saw. The fence is that of a settlement: what a worker reports
-- about a job that was taken from it is dropped.
CREATE FUNCTION afresh.write_progress(p_worker bigint, p_reports jsonb) RETURNS void
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
        FROM jsonb_to_recordset(p_reports) AS g (job_id bigint, attempts integer, claim bigint)
        JOIN procrastinate_jobs j ON j.id = g.job_id
        WHERE j.status::text = 'doing' AND j.worker_id = p_worker AND j.attempts = g.attempts
          AND j.afresh_claim IS NOT DISTINCT FROM g.claim
        ORDER BY j.id
        FOR NO KEY UPDATE OF j
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
