-- What became of jobs is known of all tasks together, and by the day: of 90 days with a hundred tasks, reading performance
-- added up 200 000 rows and was given up.

ALTER TABLE afresh.task_sample DROP CONSTRAINT task_sample_seconds_check,
    ADD CONSTRAINT task_sample_seconds_check CHECK (seconds IN (60, 3600, 86400));
ALTER TABLE afresh.queue_sample DROP CONSTRAINT queue_sample_seconds_check,
    ADD CONSTRAINT queue_sample_seconds_check CHECK (seconds IN (60, 3600, 86400));
ALTER TABLE afresh.service_sample DROP CONSTRAINT service_sample_seconds_check,
    ADD CONSTRAINT service_sample_seconds_check CHECK (seconds IN (60, 3600, 86400));

COMMENT ON TABLE afresh.task_sample IS 'What became of the jobs of a task in the minute, hour or day (UTC) that began at `at`.';

-- As in afresh.task_sample, of all tasks together.
ALTER TABLE afresh.service_sample
    ADD COLUMN submitted bigint NOT NULL DEFAULT 0,
    ADD COLUMN succeeded bigint NOT NULL DEFAULT 0,
    ADD COLUMN failed bigint NOT NULL DEFAULT 0,
    ADD COLUMN retried bigint NOT NULL DEFAULT 0,
    ADD COLUMN buried bigint NOT NULL DEFAULT 0,
    ADD COLUMN snoozed bigint NOT NULL DEFAULT 0,
    ADD COLUMN lost bigint NOT NULL DEFAULT 0,
    ADD COLUMN spent double precision NOT NULL DEFAULT 0,
    ADD COLUMN longest double precision NOT NULL DEFAULT 0,
    ADD COLUMN durations bigint[] NOT NULL DEFAULT '{}';

COMMENT ON COLUMN afresh.service_sample.submitted IS 'Of all tasks together; so are the next ones (see afresh.task_sample).';

-- Add up the tasks of a time, of one width, under the row of the service for each of its steps.
CREATE FUNCTION afresh.sum_service(p_seconds integer, p_since timestamptz, p_until timestamptz) RETURNS void
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
        WHERE seconds = p_seconds AND at >= p_since AND at < p_until
        GROUP BY at
    ) t
    WHERE v.seconds = p_seconds AND v.at = t.at
$$;

-- Sum up a step of p_seconds that began at p_at from the narrower ones within it. Lock order: samples of tasks, of queues,
-- of the service; within each by name.
CREATE FUNCTION afresh.sum_samples(p_seconds integer, p_at timestamptz) RETURNS void
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

COMMENT ON FUNCTION afresh.sum_samples IS 'Sum up an hour (3600) from its minutes, or a day (86400) from its hours.';

-- By the name that workers of the version before know it under.
CREATE OR REPLACE FUNCTION afresh.sum_hour(p_hour timestamptz) RETURNS void
LANGUAGE sql
AS $$ SELECT afresh.sum_samples(3600, p_hour) $$;

-- What is there already.
SELECT afresh.sum_service(60, '-infinity', 'infinity');
SELECT afresh.sum_service(3600, '-infinity', 'infinity');
SELECT afresh.sum_samples(86400, d.day)
FROM (SELECT DISTINCT date_trunc('day', at, 'UTC') AS day FROM afresh.service_sample WHERE seconds = 3600 ORDER BY 1) d;
