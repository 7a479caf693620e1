-- How the service did, minute by minute for two days and hour by hour from then on.
--
-- A minute is counted from what is there anyway, Procrastinate's events and afresh.attempt, once it is over; so jobs pay
-- nothing for it, and counting it again gives the same. What waits is looked at when the sample is taken. The hours are
-- summed up from their minutes, each time a minute is sampled.
--
-- Where a minute has very many events, the jobs whose hash falls into one of so many classes stand for all.

CREATE TABLE afresh.task_sample (
    seconds integer NOT NULL CHECK (seconds IN (60, 3600)),
    task_name text NOT NULL,
    at timestamptz NOT NULL,
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
    PRIMARY KEY (seconds, task_name, at)
);

COMMENT ON TABLE afresh.task_sample IS 'What became of the jobs of a task in the minute, or hour, that began at `at`.';
COMMENT ON COLUMN afresh.task_sample.submitted IS 'Jobs made.';
COMMENT ON COLUMN afresh.task_sample.failed IS 'Attempts that failed, whatever followed; with `succeeded`, all attempts that ran to their end.';
COMMENT ON COLUMN afresh.task_sample.retried IS 'Decisions to try again.';
COMMENT ON COLUMN afresh.task_sample.buried IS 'Dead letters; with `succeeded`, all jobs that came to their end.';
COMMENT ON COLUMN afresh.task_sample.lost IS 'Attempts whose worker was lost.';
COMMENT ON COLUMN afresh.task_sample.spent IS 'Seconds that its attempts took, in all.';
COMMENT ON COLUMN afresh.task_sample.durations IS 'Attempts by duration: up to each of afresh.duration_bounds(), and longer ones.';

CREATE INDEX task_sample_at_idx ON afresh.task_sample (seconds, at);

CREATE TABLE afresh.queue_sample (
    seconds integer NOT NULL CHECK (seconds IN (60, 3600)),
    queue_name text NOT NULL,
    at timestamptz NOT NULL,
    ready double precision NOT NULL,
    ready_most bigint NOT NULL,
    oldest_seconds double precision NOT NULL,
    running double precision NOT NULL,
    PRIMARY KEY (seconds, queue_name, at)
);

COMMENT ON COLUMN afresh.queue_sample.ready IS 'Jobs that could run, counted up to 20 000; of an hour, the mean.';
COMMENT ON COLUMN afresh.queue_sample.oldest_seconds IS 'How long the oldest of them had waited; of an hour, the most.';

CREATE INDEX queue_sample_at_idx ON afresh.queue_sample (seconds, at);

CREATE TABLE afresh.service_sample (
    seconds integer NOT NULL CHECK (seconds IN (60, 3600)),
    at timestamptz NOT NULL,
    repeats bigint NOT NULL,
    dead_letters bigint NOT NULL,
    workers integer NOT NULL,
    PRIMARY KEY (seconds, at)
);

COMMENT ON COLUMN afresh.service_sample.repeats IS 'Submissions that an Idempotency-Key kept from being made twice.';
COMMENT ON COLUMN afresh.service_sample.dead_letters IS 'Those pending at the end.';

-- Upper bounds of the classes of durations, in seconds.
CREATE FUNCTION afresh.duration_bounds() RETURNS double precision[]
LANGUAGE sql IMMUTABLE
RETURN '{0.005,0.01,0.025,0.05,0.1,0.25,0.5,1,2.5,5,10,30,60,300}'::double precision[];

-- The id of the first event written at p_at or later, by halves: ids and times rise together, save for transactions that
-- were open for long; the caller leaves room for those. Events of kind `scheduled` tell a time to come.
CREATE FUNCTION afresh.first_event_since(p_at timestamptz) RETURNS bigint
LANGUAGE plpgsql STABLE
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_sort = off
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

-- Count the minute that began at p_minute, or count it again. Of more than p_most events, a share of the jobs is looked
-- at. Lock order: this table only, by task name.
CREATE FUNCTION afresh.sample_tasks(p_minute timestamptz, p_most integer) RETURNS integer
LANGUAGE plpgsql
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $$
DECLARE
    v_end timestamptz := p_minute + interval '1 minute';
    v_first bigint := afresh.first_event_since(p_minute - interval '10 seconds');
    v_last bigint := afresh.first_event_since(v_end + interval '10 seconds');
    v_one_in bigint := greatest(1, (v_last - v_first) / p_most);
    v_rows integer;
BEGIN
    -- A share is an estimate, and the last few events of a minute do not make it another one.
    IF v_one_in > 1 AND EXISTS (SELECT FROM afresh.task_sample WHERE seconds = 60 AND at = p_minute) THEN
        RETURN 0;
    END IF;
    INSERT INTO afresh.task_sample AS s (
        seconds, task_name, at, submitted, succeeded, failed, retried, buried, snoozed, lost, spent, longest, durations
    )
    WITH told AS MATERIALIZED (
        SELECT e.id, e.job_id, e.type, e.at
        FROM procrastinate_events e
        WHERE e.id >= v_first AND e.id < v_last AND e.type IN ('deferred', 'succeeded')
          AND e.at >= p_minute AND e.at < v_end
          AND (hashint8extended(e.job_id, 0) & 2147483647) % v_one_in = 0
    ),
    run AS (
        SELECT j.task_name, v_one_in AS weight, (t.type = 'deferred')::integer AS submitted,
               (t.type = 'succeeded')::integer AS succeeded, 0 AS failed, 0 AS retried, 0 AS buried, 0 AS snoozed,
               0 AS lost,
               CASE WHEN t.type = 'succeeded' THEN extract(epoch FROM t.at - (
                   SELECT max(b.at) FROM procrastinate_events b
                   WHERE b.job_id = t.job_id AND b.type = 'started' AND b.id < t.id
               ))::double precision END AS took
        FROM told t
        CROSS JOIN LATERAL (SELECT task_name FROM procrastinate_jobs WHERE id = t.job_id LIMIT 1) j
        UNION ALL
        SELECT a.task_name, 1, 0, 0, (a.outcome = 'failed')::integer,
               (a.outcome = 'failed' AND coalesce(a.decision = 'retry', false))::integer,
               coalesce(a.decision = 'dead_letter', false)::integer, (a.outcome = 'snoozed')::integer,
               (a.outcome = 'lost')::integer,
               CASE WHEN a.outcome = 'failed' THEN extract(epoch FROM a.ended_at - a.started_at)::double precision END
        FROM afresh.attempt a
        WHERE a.ended_at >= p_minute AND a.ended_at < v_end
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
    SELECT 60, task_name, p_minute, sum(submitted), sum(succeeded), sum(failed), sum(retried), sum(buried),
           sum(snoozed), sum(lost), coalesce(sum(spent), 0), coalesce(max(longest), 0),
           ARRAY(SELECT coalesce(max(runs) FILTER (WHERE class = place), 0)::bigint
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
CREATE FUNCTION afresh.sum_hour(p_hour timestamptz) RETURNS void
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
    SELECT 3600, queue_name, p_hour, avg(ready), max(ready_most), max(oldest_seconds), avg(running)
    FROM afresh.queue_sample
    WHERE seconds = 60 AND at >= p_hour AND at < p_hour + interval '1 hour'
    GROUP BY queue_name
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
