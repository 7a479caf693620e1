-- What a million failures come to, so that nobody has to read them again to know: by hour, and by group.
--
-- A failure is written once, as a row of afresh.attempt, by the statement that settles it; that statement pays nothing
-- for what is here. From time to time the rows that have come in since are folded: added to afresh.failure_hour,
-- afresh.failure_group and afresh.failure_group_hour. Whoever reads adds what is not folded yet, by the same functions
-- that fold (afresh.fresh_...), so that the numbers are exact whether the last folding was a second or a month ago. What
-- is folded outlives the attempts.
--
--   afresh.attempt    1 ── folded_id ──────── noted_id ─────────── newest
--                     in the tables below   │ to be folded next   │ not even noted
--                     ─────────────────────┘ └──────── read afresh each time ──
--
-- Ids are not committed in their order: a transaction that is still open may hold a lower one. So folding takes two
-- steps. note_failures() notes the newest id that can be seen, and then a transaction id. Every transaction that holds
-- a lower attempt id locked its job before, and so has a lower transaction id; once all of those have ended, no row at
-- or below the noted id can appear any more, and fold_failures() may fold them.
--
-- Lock order: afresh.failure_fold before all others.

CREATE TABLE afresh.failure_fold (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    folded_id bigint NOT NULL DEFAULT 0,
    noted_id bigint NOT NULL DEFAULT 0,
    noted_by xid8 NOT NULL DEFAULT '0',
    CONSTRAINT failure_fold_notes_ahead CHECK (noted_id >= folded_id)
);

COMMENT ON COLUMN afresh.failure_fold.folded_id IS 'The attempts up to this one are folded; those after it must not be purged.';

INSERT INTO afresh.failure_fold DEFAULT VALUES;

CREATE TABLE afresh.failure_hour (
    hour timestamptz NOT NULL,
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
    last_seen timestamptz,
    PRIMARY KEY (hour, task_name, failure_type, queue_name)
);

COMMENT ON COLUMN afresh.failure_hour.jobs IS 'Jobs that had not met this type before.';
COMMENT ON COLUMN afresh.failure_hour.retries IS 'Decisions to try again, at the cost of an attempt.';
COMMENT ON COLUMN afresh.failure_hour.retries_failed IS 'Retries that ended in this failure.';
COMMENT ON COLUMN afresh.failure_hour.retries_succeeded IS 'Retries after this failure with which the job succeeded.';
COMMENT ON COLUMN afresh.failure_hour.retries_before_success IS 'All retries of those jobs.';
COMMENT ON COLUMN afresh.failure_hour.deaths IS 'Dead letters that this failure made.';
COMMENT ON COLUMN afresh.failure_hour.calls_of_dead IS 'All attempts of those jobs.';
COMMENT ON COLUMN afresh.failure_hour.spent IS 'Time of workers in the attempts that failed.';

CREATE TABLE afresh.failure_group (
    fingerprint text PRIMARY KEY,
    failures bigint NOT NULL CHECK (failures > 0),
    deaths bigint NOT NULL CHECK (deaths >= 0),
    first_seen timestamptz NOT NULL,
    last_seen timestamptz NOT NULL,
    last_attempt bigint NOT NULL,
    failure_type text NOT NULL,
    exception_type text,
    message text,
    remediation text,
    traceback text,
    tasks text[] NOT NULL,
    dependencies text[] NOT NULL
);

COMMENT ON COLUMN afresh.failure_group.last_attempt IS 'Id of the newest failure; its type, message and traceback are the sample.';
COMMENT ON COLUMN afresh.failure_group.dependencies IS 'Those that its jobs named; an empty one stands for jobs that named none.';

CREATE INDEX failure_group_newest_idx ON afresh.failure_group (last_attempt DESC);
CREATE INDEX failure_group_largest_idx ON afresh.failure_group (failures DESC, last_attempt DESC);

CREATE TABLE afresh.failure_group_hour (
    fingerprint text NOT NULL,
    hour timestamptz NOT NULL,
    failures bigint NOT NULL CHECK (failures > 0),
    PRIMARY KEY (fingerprint, hour)
);

CREATE INDEX failure_group_hour_hour_idx ON afresh.failure_group_hour (hour);

-- What operators said about a group, apart from what is counted, so that neither waits for the other. A status is
-- derived from both (afresh.group_status).
CREATE TABLE afresh.failure_mark (
    fingerprint text PRIMARY KEY,
    resolved_attempt bigint,
    resolved_at timestamptz,
    resolved_by text,
    resolved_because text,
    muted_until timestamptz,
    muted_at timestamptz,
    muted_by text,
    muted_because text,
    CONSTRAINT failure_mark_resolved_by_somebody CHECK (
        num_nulls(resolved_attempt, resolved_at, resolved_by, resolved_because) IN (0, 4)
    ),
    CONSTRAINT failure_mark_muted_by_somebody CHECK (
        num_nulls(muted_until, muted_at, muted_by, muted_because) IN (0, 4)
    )
);

COMMENT ON COLUMN afresh.failure_mark.resolved_attempt IS 'The newest failure of the group then: a later one is a regression.';

-- One of muted, open, resolved, regression.
CREATE FUNCTION afresh.group_status(
    p_last_attempt bigint, p_resolved_attempt bigint, p_muted_until timestamptz
) RETURNS text
LANGUAGE sql STABLE
RETURN CASE
    WHEN p_muted_until > now() THEN 'muted'
    WHEN p_resolved_attempt IS NULL THEN 'open'
    WHEN p_last_attempt > p_resolved_attempt THEN 'regression'
    ELSE 'resolved' END;

-- Jobs that succeeded after a failure, until they are folded. No event tells them from other successes; and only they
-- pay for the row.
CREATE TABLE afresh.recovery (
    id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    job_id bigint NOT NULL,
    task_name text NOT NULL,
    queue_name text NOT NULL,
    retries integer NOT NULL,
    recovered_at timestamptz NOT NULL DEFAULT now()
);

CREATE FUNCTION afresh.record_recovery() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    INSERT INTO afresh.recovery (job_id, task_name, queue_name, retries)
    VALUES (NEW.id, NEW.task_name, NEW.queue_name, OLD.attempts);
    RETURN NULL;
END;
$$;

CREATE TRIGGER afresh_jobs_recovered
AFTER UPDATE OF status ON procrastinate_jobs
FOR EACH ROW WHEN (OLD.status = 'doing' AND NEW.status = 'succeeded' AND OLD.attempts > 0)
EXECUTE FUNCTION afresh.record_recovery();

-- The functions below read the attempts that are not folded, up to p_through; null: all. The planner is told how, since
-- it cannot know that they are few.

-- What is to be added to afresh.failure_hour, of these recoveries; null: of all.
CREATE FUNCTION afresh.fresh_hours(
    p_through bigint DEFAULT NULL, p_recoveries bigint[] DEFAULT NULL
) RETURNS SETOF afresh.failure_hour
LANGUAGE sql STABLE ROWS 100
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
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

-- The rows of afresh.failure_group as they are once the attempts are folded; only of the groups that change.
CREATE FUNCTION afresh.fresh_groups(p_through bigint DEFAULT NULL) RETURNS SETOF afresh.failure_group
LANGUAGE sql STABLE ROWS 100
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $$
    WITH counted AS (
        SELECT a.fingerprint, a.task_name, coalesce(j.afresh_dependency, '') AS dependency, count(*) AS failures,
               count(*) FILTER (WHERE a.decision = 'dead_letter') AS deaths,
               min(a.ended_at) AS first_seen, max(a.ended_at) AS last_seen, max(a.id) AS last_attempt
        FROM afresh.attempt a
        LEFT JOIN procrastinate_jobs j ON j.id = a.job_id
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

-- What is to be added to afresh.failure_group_hour.
CREATE FUNCTION afresh.fresh_group_hours(p_through bigint DEFAULT NULL) RETURNS SETOF afresh.failure_group_hour
LANGUAGE sql STABLE ROWS 100
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
    SELECT a.fingerprint, date_trunc('hour', a.ended_at, 'UTC'), count(*)
    FROM afresh.attempt a
    WHERE a.id > coalesce((SELECT folded_id FROM afresh.failure_fold), 0)
      AND a.id <= coalesce(p_through, 9223372036854775807)
      AND a.failure_type IS NOT NULL AND a.fingerprint IS NOT NULL
    GROUP BY 1, 2
$$;

-- Note up to where attempts can be folded once the transactions of now have ended; nothing while an earlier note
-- waits for that. A note from before the database was restored elsewhere, where transaction ids began anew, is replaced.
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

-- Fold at most p_most of the attempts that are noted, and as many recoveries; return how many there were. 0: there are
-- none, an old transaction may still add to them, or somebody else is at it.
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

-- What is known of failures by hour, from an hour on: folded or not. An hour may have several rows of one kind.
CREATE FUNCTION afresh.failures_since(p_since timestamptz) RETURNS SETOF afresh.failure_hour
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT * FROM afresh.failure_hour WHERE hour >= p_since
    UNION ALL
    SELECT * FROM afresh.fresh_hours() WHERE hour >= p_since;
END;

-- Every group, folded or not, with its status. Traceback and message are those of its newest failure, without secrets.
CREATE VIEW afresh.failure_groups AS
WITH fresh AS MATERIALIZED (SELECT * FROM afresh.fresh_groups())
SELECT g.*, afresh.group_status(g.last_attempt, m.resolved_attempt, m.muted_until) AS status,
       m.resolved_at, m.resolved_by, m.resolved_because, m.muted_until, m.muted_at, m.muted_by, m.muted_because
FROM (
    SELECT * FROM afresh.failure_group WHERE fingerprint NOT IN (SELECT fingerprint FROM fresh)
    UNION ALL
    SELECT * FROM fresh
) g
LEFT JOIN afresh.failure_mark m ON m.fingerprint = g.fingerprint;
