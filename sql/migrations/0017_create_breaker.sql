-- Breakers: one row for each dependency that ever failed, changed by whoever sees reason to, under its lock, by the
-- functions of app/retry/breaker; nothing is decided here. The columns are the fields of its `Breaker`.
--
-- What a claim must know stands in afresh.hold: a row for each dependency that does not simply let jobs in, written in
-- the transaction that moves its breaker. So a transition is in force with the next claim of every worker; what is
-- announced only makes them look sooner.
--
-- Lock order: one breaker at a time, before its hold and its probes; never one while holding jobs.

CREATE TABLE afresh.breaker (
    name text PRIMARY KEY CHECK (length(name) BETWEEN 1 AND 255),
    state text NOT NULL DEFAULT 'closed'
        CHECK (state IN ('closed', 'open', 'half_open', 'ramping', 'held', 'isolated')),
    generation bigint NOT NULL DEFAULT 0 CHECK (generation >= 0),
    changed_at timestamptz,
    cause text NOT NULL DEFAULT '',
    slots jsonb NOT NULL DEFAULT '[]',
    suspect_since timestamptz,
    failure_type text,
    hold_jobs bigint[] NOT NULL DEFAULT '{}',
    hold_since timestamptz,
    until timestamptz,
    break_seconds double precision NOT NULL DEFAULT 0,
    reopenings integer NOT NULL DEFAULT 0,
    probe_at timestamptz,
    probe_successes integer NOT NULL DEFAULT 0,
    permits jsonb NOT NULL DEFAULT '[]',
    last_permit bigint NOT NULL DEFAULT 0,
    baseline double precision,
    ceiling double precision,
    rate double precision NOT NULL DEFAULT 0,
    tokens double precision NOT NULL DEFAULT 0,
    tokens_at timestamptz,
    handed bigint NOT NULL DEFAULT 0,
    step_at timestamptz,
    step_successes integer NOT NULL DEFAULT 0,
    step_failures integer NOT NULL DEFAULT 0,
    step_starved boolean NOT NULL DEFAULT false,
    limited_at timestamptz
) WITH (fillfactor = 50);  -- Room for the next version of a row beside it: no index changes, so no index is written.

COMMENT ON TABLE afresh.breaker IS 'What is known of each dependency that ever failed; one without a row is closed.';

-- The history: what happened to a breaker, and why.
CREATE TABLE afresh.breaker_event (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL,
    generation bigint NOT NULL,
    before text NOT NULL,
    after text NOT NULL,
    at timestamptz NOT NULL,
    cause text NOT NULL
);

CREATE INDEX breaker_event_name_idx ON afresh.breaker_event (name, id);

-- Which job runs as which probe, so that the rescue of a lost worker's job gives its permit back.
CREATE TABLE afresh.breaker_probe (
    job_id bigint NOT NULL,
    name text NOT NULL,
    permit bigint NOT NULL,
    since timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (job_id, name)
);

-- What the recovery of a dependency sets going is decided in the transaction of its transition, so the tasks that want
-- it are known here.
ALTER TABLE afresh.task_dependency ADD COLUMN replay_on_recovery boolean NOT NULL DEFAULT false;

COMMENT ON COLUMN afresh.task_dependency.replay_on_recovery IS
'Whether its dead letters of an outage are replayed when that is over.';

-- Of these dependencies, those with jobs that could run now, and how many, at most p_most; other arguments as those of
-- afresh.claim. Asked before a breaker is, so that no permit and no token is taken for jobs that are not there.
-- What is behind a busy lock counts too: to know better costs as much as the claim, which then gives back.
CREATE FUNCTION afresh.count_waiting(
    p_names text[], p_queues text[], p_tasks text[], p_dependencies text[], p_most integer
) RETURNS TABLE (name text, jobs integer)
LANGUAGE plpgsql STABLE
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET plan_cache_mode = force_generic_plan
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
