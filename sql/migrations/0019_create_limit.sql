-- Limits: how many jobs of a queue or of a task may run at the same time, and how many of a queue, a task or a
-- dependency may start in a period, over all workers.
--
-- A claim that could take jobs of a limited lane locks the rows of its limits, looks at what they leave, takes no more
-- than that, and writes what it took; so two claims share a limit by taking turns. Where a limit leaves nothing its row
-- is not locked and its lanes are shut: what it holds back costs a claim their number. Claims of other jobs lock nothing.
--
-- Running jobs are counted, never stored, so nothing can drift: a job counts from its claim until it is settled,
-- released or rescued. Starts are paid for with tokens: a bucket of `burst` of them is refilled evenly with rate_jobs
-- every rate_seconds, so that in any such period at most rate_jobs + burst jobs start. A job that is given back before
-- it started does not bring its token back: an external rate is rather missed than broken.
--
-- Lock order: limits by kind and name, before the jobs of the claim. Settlements lock none.

CREATE TABLE afresh.job_limit (
    kind text NOT NULL CHECK (kind IN ('queue', 'task', 'dependency')),
    name text NOT NULL CHECK (length(name) BETWEEN 1 AND 255),
    max_running integer CHECK (max_running > 0),
    rate_jobs integer CHECK (rate_jobs > 0),
    rate_seconds double precision CHECK (rate_seconds > 0),
    burst integer CHECK (burst > 0),
    tokens double precision NOT NULL DEFAULT 0,
    tokens_at timestamptz NOT NULL DEFAULT 'epoch',
    PRIMARY KEY (kind, name),
    CONSTRAINT job_limit_limits CHECK (num_nonnulls(max_running, rate_jobs) > 0),
    CONSTRAINT job_limit_rate CHECK (
        (rate_jobs IS NULL) = (rate_seconds IS NULL) AND (burst IS NULL OR rate_jobs IS NOT NULL)
    ),
    CONSTRAINT job_limit_dependency CHECK (kind <> 'dependency' OR max_running IS NULL)
) WITH (fillfactor = 50);  -- As with breakers: no index changes, so no index is written.

COMMENT ON TABLE afresh.job_limit IS 'How many jobs may run, or start in a period, over all workers.';
COMMENT ON COLUMN afresh.job_limit.burst IS 'Jobs that may start at once after a rest; null: a tenth of rate_jobs, at least 1.';
COMMENT ON COLUMN afresh.job_limit.tokens IS 'Left at tokens_at; a new bucket has been filling since 1970.';

-- Whoever changes a limit lets idle workers look again; what a claim takes is not such a change.
CREATE FUNCTION afresh.announce_limit() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    PERFORM pg_notify('afresh_wake', '');
    RETURN NULL;
END;
$$;

CREATE TRIGGER job_limit_changed
AFTER INSERT OR DELETE OR UPDATE OF max_running, rate_jobs, rate_seconds, burst ON afresh.job_limit
FOR EACH STATEMENT EXECUTE FUNCTION afresh.announce_limit();

-- The names under which a job's limits are looked up.
CREATE FUNCTION afresh.limit_keys(p_queue text, p_task text, p_dependency text) RETURNS text[]
LANGUAGE sql IMMUTABLE
RETURN ARRAY['queue:' || p_queue, 'task:' || p_task, 'dependency:' || p_dependency];

-- Tokens of a rate by now. By the clock, not by the transaction: that may have waited for the row.
CREATE FUNCTION afresh.refilled(p_limit afresh.job_limit) RETURNS double precision
LANGUAGE sql VOLATILE
RETURN least(
    coalesce(p_limit.burst, greatest(1, p_limit.rate_jobs / 10)),
    p_limit.tokens + p_limit.rate_jobs / p_limit.rate_seconds
        * greatest(0, extract(epoch FROM clock_timestamp() - p_limit.tokens_at))
);

-- How many more jobs each of these limits lets start now; p_keys null: each of all.
CREATE FUNCTION afresh.limit_room(p_keys text[] DEFAULT NULL) RETURNS TABLE (key text, room integer)
LANGUAGE plpgsql
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_sort = off
SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
RETURN QUERY
WITH chosen AS MATERIALIZED (
    SELECT l.*, l.kind || ':' || l.name AS key,
           CASE WHEN l.rate_jobs IS NOT NULL THEN floor(afresh.refilled(l)) END AS filled
    FROM afresh.job_limit l
    WHERE p_keys IS NULL OR l.kind || ':' || l.name = ANY (p_keys)
),
running AS MATERIALIZED (
    -- In the order of the index of what runs: any other that fits has all that waits, too.
    SELECT r.queue_name, r.task_name, count(*) AS jobs
    FROM (SELECT j.queue_name, j.task_name FROM procrastinate_jobs j WHERE j.status = 'doing' ORDER BY j.lock) r
    WHERE EXISTS (SELECT FROM chosen WHERE max_running IS NOT NULL)
    GROUP BY r.queue_name, r.task_name
)
SELECT c.key,
       greatest(0, least(
           CASE WHEN c.max_running IS NOT NULL THEN c.max_running - (
               SELECT coalesce(sum(r.jobs), 0) FROM running r
               WHERE CASE c.kind WHEN 'queue' THEN r.queue_name ELSE r.task_name END = c.name
           ) END,
           c.filled
       ))::integer
FROM chosen c;
END;
$$;

-- What a claim may take of every limit there is: {"<kind>:<name>": jobs}; other arguments as those of afresh.claim.
-- Limits of which it could take something are locked until the transaction ends. Any other is at 0, also where nothing
-- waits for it: a job that comes in before the claim has looked is left to the next one.
CREATE FUNCTION afresh.allowances(p_queues text[], p_tasks text[], p_dependencies text[], p_shares jsonb)
RETURNS jsonb
LANGUAGE plpgsql
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_sort = off
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    v_room jsonb := (SELECT jsonb_object_agg(key, room) FROM afresh.limit_room());
    v_keys text[] := ARRAY(
        SELECT DISTINCT limited.key
        FROM afresh.open_lanes(p_queues, p_tasks, p_dependencies, p_shares, v_room) l
        CROSS JOIN LATERAL unnest(afresh.limit_keys(l.queue_name, l.task_name, l.relies_on)) AS limited (key)
        WHERE l.room > 0 AND v_room ? limited.key
    );
BEGIN
    v_room := (SELECT jsonb_object_agg(key, 0) FROM jsonb_object_keys(v_room) AS key);
    IF cardinality(v_keys) > 0 THEN
        PERFORM FROM afresh.job_limit WHERE kind || ':' || name = ANY (v_keys) ORDER BY kind, name FOR UPDATE;
        -- A statement of its own: it sees what those have claimed for whom the lock was waited.
        v_room := v_room || coalesce((SELECT jsonb_object_agg(key, room) FROM afresh.limit_room(v_keys)), '{}');
    END IF;
    RETURN coalesce(v_room, '{}');
END;
$$;

-- These jobs with the keys of the limits that may count them, in the order given.
CREATE FUNCTION afresh.limits_of(p_ids bigint[], p_tasks text[], p_dependencies text[])
RETURNS TABLE (id bigint, keys text[])
LANGUAGE sql STABLE
AS $$
SELECT j.id, afresh.limit_keys(
    j.queue_name, j.task_name, coalesce(nullif(j.afresh_dependency, ''), own.dependency)
)
FROM unnest(p_ids) WITH ORDINALITY AS given (id, position)
CROSS JOIN LATERAL (SELECT * FROM procrastinate_jobs WHERE id = given.id LIMIT 1) j
LEFT JOIN unnest(p_tasks, p_dependencies) AS own (task_name, dependency) ON own.task_name = j.task_name
ORDER BY given.position;
$$;

-- Of these jobs, first come first served, those that the limits leave room for.
CREATE FUNCTION afresh.within_limits(p_ids bigint[], p_limits jsonb, p_tasks text[], p_dependencies text[])
RETURNS bigint[]
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    v_taken jsonb := '{}';
    v_ids bigint[] := '{}';
    v_job record;
BEGIN
    FOR v_job IN SELECT * FROM afresh.limits_of(p_ids, p_tasks, p_dependencies) LOOP
        CONTINUE WHEN EXISTS (
            SELECT FROM unnest(v_job.keys) AS key
            WHERE (p_limits ->> key)::integer <= coalesce((v_taken ->> key)::integer, 0)
        );
        v_ids := v_ids || v_job.id;
        v_taken := v_taken || coalesce((
            SELECT jsonb_object_agg(key, 1 + coalesce((v_taken ->> key)::integer, 0))
            FROM unnest(v_job.keys) AS key WHERE p_limits ? key
        ), '{}');
    END LOOP;
    RETURN v_ids;
END;
$$;

-- Takes the tokens of jobs that were claimed. Their limits are locked already.
CREATE FUNCTION afresh.spend_tokens(p_ids bigint[], p_tasks text[], p_dependencies text[]) RETURNS void
LANGUAGE sql
AS $$
UPDATE afresh.job_limit l
SET tokens = afresh.refilled(l) - spent.jobs, tokens_at = clock_timestamp()
FROM (SELECT key, count(*) AS jobs
      FROM afresh.limits_of(p_ids, p_tasks, p_dependencies) CROSS JOIN LATERAL unnest(keys) AS key
      GROUP BY key) spent
WHERE spent.key = l.kind || ':' || l.name AND l.rate_jobs IS NOT NULL;
$$;

-- When the first bucket that was empty has a token again, if that is within these last seconds or to come. Whether jobs
-- wait for it is not asked: a claim knows, and one for nothing is cheap.
CREATE FUNCTION afresh.next_token(p_queues text[], p_seen double precision) RETURNS timestamptz
LANGUAGE sql VOLATILE
RETURN (
    SELECT min(refill.at)
    FROM afresh.job_limit l
    CROSS JOIN LATERAL (
        SELECT l.tokens_at + make_interval(secs => (1 - l.tokens) * l.rate_seconds / l.rate_jobs) AS at
    ) refill
    WHERE l.tokens < 1 AND refill.at > clock_timestamp() - make_interval(secs => p_seen)
      AND (p_queues IS NULL OR l.kind <> 'queue' OR l.name = ANY (p_queues))
);
