-- What a decision looks at beyond its job: how such retries went, how deep the queue is, and what can wait.

-- How retries of one task after one type of failure went: those of which it is known how they ended.
CREATE TABLE afresh.retry_sample (
    task_name text NOT NULL,
    failure_type text NOT NULL,
    retries bigint NOT NULL CHECK (retries > 0),
    successes bigint NOT NULL CHECK (successes BETWEEN 0 AND retries),
    since timestamptz NOT NULL,
    refreshed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (task_name, failure_type)
);

COMMENT ON TABLE afresh.retry_sample IS 'Written anew by afresh.refresh_retry_samples; workers read it into their memory.';
COMMENT ON COLUMN afresh.retry_sample.successes IS 'Retries with which their job succeeded.';

-- Count the retries of the last p_days anew; return how many rows that makes. Retries that failed are those after which
-- the job's next attempt is a failure too, whatever its type; those that succeeded are known by the hour, also where the
-- job is not kept. So the time begins with an hour, and begins later where there are more than p_most attempts in it.
--
-- Lock order: this table only. Whoever reads it is not held up.
CREATE FUNCTION afresh.refresh_retry_samples(p_days interval, p_most bigint) RETURNS integer
LANGUAGE plpgsql
SET work_mem = '64MB'
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

-- Jobs of a queue that could run now, counted up to p_most. What is held back is not ready, and costs nothing here,
-- however much of it there is: it is a lane that is not looked into.
CREATE FUNCTION afresh.ready_depth(p_queue text, p_tasks text[], p_dependencies text[], p_most integer) RETURNS integer
LANGUAGE plpgsql STABLE
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_sort = off
SET plan_cache_mode = force_generic_plan
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

-- A job can say otherwise than its task whether it may wait for the quiet hours.
ALTER TABLE afresh.job_option ADD COLUMN cost text CHECK (cost IN ('normal', 'deferrable'));

COMMENT ON COLUMN afresh.job_option.cost IS 'deferrable: it may wait for the quiet hours; null: as its task says.';

-- The runs that were put off to the quiet hours, and retries that were planned for them.
CREATE INDEX attempt_off_peak_idx ON afresh.attempt (ended_at)
WHERE decision IN ('retry', 'snooze') AND explanation @> '[{"name": "off_peak"}]';
