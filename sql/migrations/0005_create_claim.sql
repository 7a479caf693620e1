-- formerly c2dd5aa05605b0846ac9dd47de8ff75900c88212b37d1094a1dcda51420cf109, which built the indexes of 0036 here.
--
-- Claiming starts at what can run. The jobs that wait are seen as lanes: one lane is all waiting jobs with the same
-- queue, task, dependency and kind of lock (some or none). What holds jobs back (a paused queue, a dependency that is
-- down, a limit) is a property of a lane, so a claim costs the number of lanes, never the number of jobs they hold:
-- the indexes (migration 0036) lead with the lane, and a recursive query hops from one lane to the next.
--
-- Within a lane, jobs without a time are in order of priority, then age (ready_idx); jobs with a time are in order of
-- priority, then time (due_idx), so that a million jobs of tomorrow lie behind the first one that is not due.

ALTER TABLE procrastinate_jobs ADD COLUMN afresh_dependency text;

COMMENT ON COLUMN procrastinate_jobs.afresh_dependency IS 'What this job relies on; null: what its task relies on.';

-- Worker and attempts do not tell two runs apart: a snooze costs no attempt, and the same worker may claim again.
ALTER TABLE procrastinate_jobs ADD COLUMN afresh_claim bigint;

COMMENT ON COLUMN procrastinate_jobs.afresh_claim IS 'Number of the last claim within its worker: the fence of its settlement.';

CREATE TYPE afresh.hold_kind AS ENUM ('queue', 'dependency');

-- What is held back at claim time. Read by every claim, so a hold is in force with the next one, everywhere.
CREATE TABLE afresh.hold (
    kind afresh.hold_kind NOT NULL,
    name text NOT NULL,
    reason text NOT NULL,
    held_by text NOT NULL,
    held_at timestamptz NOT NULL DEFAULT now(),
    generation bigint,
    PRIMARY KEY (kind, name)
);

COMMENT ON COLUMN afresh.hold.generation IS 'Of the breaker that holds the dependency back; null: somebody does.';

-- What each task relies on, as the workers that know it say. A claim is told by its worker; this is for who looks on.
CREATE TABLE afresh.task_dependency (
    task_name text PRIMARY KEY,
    dependency text NOT NULL
);

CREATE INDEX task_dependency_dependency_idx ON afresh.task_dependency (dependency);

-- The lanes in which jobs without a time wait.
--
-- This function and the next two are inlined where they are called, which LANGUAGE sql, STABLE and no setting of their
-- own allow: they cost nothing beside their query, and are planned under their caller's settings.
CREATE FUNCTION afresh.ready_lanes() RETURNS TABLE (
    queue_name character varying, task_name character varying, dependency text, locked boolean
)
LANGUAGE sql STABLE
AS $$
WITH RECURSIVE lane AS (
    (SELECT queue_name, task_name, coalesce(afresh_dependency, '') AS dependency, (lock IS NOT NULL) AS locked
     FROM procrastinate_jobs
     WHERE status = 'todo' AND scheduled_at IS NULL
     ORDER BY queue_name, task_name, coalesce(afresh_dependency, ''), (lock IS NOT NULL)
     LIMIT 1)
    UNION ALL
    SELECT hop.*
    FROM lane l
    CROSS JOIN LATERAL (
        SELECT j.queue_name, j.task_name, coalesce(j.afresh_dependency, ''), (j.lock IS NOT NULL)
        FROM procrastinate_jobs j
        WHERE j.status = 'todo' AND j.scheduled_at IS NULL
          AND (j.queue_name, j.task_name, coalesce(j.afresh_dependency, ''), (j.lock IS NOT NULL))
              > (l.queue_name, l.task_name, l.dependency, l.locked)
        ORDER BY j.queue_name, j.task_name, coalesce(j.afresh_dependency, ''), (j.lock IS NOT NULL)
        LIMIT 1
    ) hop
)
SELECT * FROM lane;
$$;

-- The lanes in which jobs with a time wait, due or not: one for each priority, told as rank, the smallest first.
CREATE FUNCTION afresh.due_lanes() RETURNS TABLE (
    queue_name character varying, task_name character varying, dependency text, locked boolean, rank integer
)
LANGUAGE sql STABLE
AS $$
WITH RECURSIVE lane AS (
    (SELECT queue_name, task_name, coalesce(afresh_dependency, '') AS dependency, (lock IS NOT NULL) AS locked,
            (-priority) AS rank
     FROM procrastinate_jobs
     WHERE status = 'todo' AND scheduled_at IS NOT NULL
     ORDER BY queue_name, task_name, coalesce(afresh_dependency, ''), (lock IS NOT NULL), (-priority)
     LIMIT 1)
    UNION ALL
    SELECT hop.*
    FROM lane l
    CROSS JOIN LATERAL (
        SELECT j.queue_name, j.task_name, coalesce(j.afresh_dependency, ''), (j.lock IS NOT NULL), (-j.priority)
        FROM procrastinate_jobs j
        WHERE j.status = 'todo' AND j.scheduled_at IS NOT NULL
          AND (j.queue_name, j.task_name, coalesce(j.afresh_dependency, ''), (j.lock IS NOT NULL), (-j.priority))
              > (l.queue_name, l.task_name, l.dependency, l.locked, l.rank)
        ORDER BY j.queue_name, j.task_name, coalesce(j.afresh_dependency, ''), (j.lock IS NOT NULL), (-j.priority)
        LIMIT 1
    ) hop
)
SELECT * FROM lane;
$$;

-- The lanes that a worker serves and nothing holds back; rank is null where jobs have no time. What holds jobs back is
-- said here and nowhere else.
--
--   p_shares   array of objects, for dependencies of which only so many jobs may be taken:
--              {"name": …, "generation": …, "jobs": …, "retries": …}. A hold does not count against a share of its
--              generation; 0 jobs holds a dependency back that nothing else does.
--   p_limits   object: how many jobs each limit leaves room for, as `afresh.allowances` (migration 0019) has it
--   share      name of the dependency, where only a share of the lane may be taken, and jobs and retries of it
--   relies_on  name of the dependency, be it the jobs' own or their task's
--   room       how many jobs of the lane its limits leave at most; null: none limits it
CREATE FUNCTION afresh.open_lanes(
    p_queues text[], p_tasks text[], p_dependencies text[], p_shares jsonb DEFAULT '[]', p_limits jsonb DEFAULT '{}'
) RETURNS TABLE (
    queue_name character varying, task_name character varying, dependency text, locked boolean, rank integer,
    share text, share_jobs integer, share_retries integer, relies_on text, room integer
)
LANGUAGE sql STABLE
AS $$
SELECT l.*, s.name, s.jobs, s.retries, coalesce(nullif(l.dependency, ''), own.dependency), limited.room
FROM (SELECT queue_name, task_name, dependency, locked, NULL::integer AS rank FROM afresh.ready_lanes()
      UNION ALL
      SELECT * FROM afresh.due_lanes()) l
LEFT JOIN unnest(p_tasks, p_dependencies) AS own (task_name, dependency) ON own.task_name = l.task_name
LEFT JOIN jsonb_to_recordset(p_shares) AS s (name text, generation bigint, jobs integer, retries integer)
       ON s.name = coalesce(nullif(l.dependency, ''), own.dependency)
CROSS JOIN LATERAL (
    SELECT CASE WHEN p_limits <> '{}' THEN least(
        (p_limits ->> ('queue:' || l.queue_name))::integer,
        (p_limits ->> ('task:' || l.task_name))::integer,
        (p_limits ->> ('dependency:' || coalesce(nullif(l.dependency, ''), own.dependency)))::integer
    ) END AS room
) limited
WHERE (p_queues IS NULL OR l.queue_name = ANY (p_queues))
  AND NOT EXISTS (SELECT FROM afresh.hold h WHERE h.kind = 'queue' AND h.name = l.queue_name)
  AND NOT EXISTS (SELECT FROM afresh.hold h
                  WHERE h.kind = 'dependency' AND h.name = coalesce(nullif(l.dependency, ''), own.dependency)
                    AND (s.generation IS NULL OR h.generation IS DISTINCT FROM s.generation))
  AND s.jobs IS DISTINCT FROM 0
  AND limited.room IS DISTINCT FROM 0;
$$;

-- The next runnable jobs in the order in which they should run, locked until the transaction ends.
--
--   p_window    how many jobs of a lane are looked at, and how many of all lanes are tried to be locked
--   o_more      as many were tried as the window holds, so there may be others behind them
--   o_crowded   so many jobs with locks were looked at that those of other locks may lie behind them
CREATE FUNCTION afresh.runnable(
    p_limit integer, p_window integer, p_queues text[], p_tasks text[], p_dependencies text[], p_due_first boolean,
    p_locks boolean, p_shares jsonb, p_limits jsonb, OUT o_ids bigint[], OUT o_more boolean, OUT o_crowded boolean
)
LANGUAGE plpgsql
AS $$
#variable_conflict use_column
BEGIN
WITH open_lane AS (
    SELECT * FROM afresh.open_lanes(p_queues, p_tasks, p_dependencies, p_shares, p_limits) WHERE p_locks OR NOT locked
),
ready AS (
    SELECT j.id, j.rank, j.lock, row_number() OVER (PARTITION BY j.rank ORDER BY j.id) AS position, false AS due,
           l.share, l.share_jobs, l.share_retries, l.room
    FROM open_lane l
    CROSS JOIN LATERAL (
        SELECT j.id, (-j.priority) AS rank, j.lock
        FROM procrastinate_jobs j
        WHERE j.status = 'todo' AND j.scheduled_at IS NULL
          AND j.queue_name = l.queue_name AND j.task_name = l.task_name
          AND coalesce(j.afresh_dependency, '') = l.dependency AND (j.lock IS NOT NULL) = l.locked
        ORDER BY (-j.priority), j.id
        LIMIT CASE WHEN l.locked THEN 2 * p_window + 16 ELSE least(p_window, l.room) END
    ) j
    WHERE l.rank IS NULL
),
due AS (
    SELECT j.id, l.rank, j.lock,
           row_number() OVER (PARTITION BY l.rank ORDER BY j.scheduled_at, j.id) AS position, true AS due,
           l.share, l.share_jobs, l.share_retries, l.room
    FROM open_lane l
    CROSS JOIN LATERAL (
        SELECT j.id, j.scheduled_at, j.lock
        FROM procrastinate_jobs j
        WHERE j.status = 'todo' AND j.scheduled_at <= now()
          AND j.queue_name = l.queue_name AND j.task_name = l.task_name
          AND coalesce(j.afresh_dependency, '') = l.dependency AND (j.lock IS NOT NULL) = l.locked
          AND (-j.priority) = l.rank
        ORDER BY j.scheduled_at, j.id
        LIMIT CASE WHEN l.locked THEN 2 * p_window + 16 ELSE least(p_window, l.room) END
    ) j
    WHERE l.rank IS NOT NULL
),
unlocked AS (
    SELECT c.*
    FROM (SELECT * FROM ready UNION ALL SELECT * FROM due) c
    WHERE c.lock IS NULL OR (
        NOT EXISTS (SELECT FROM procrastinate_jobs r WHERE r.lock = c.lock AND r.status = 'doing')
        AND c.id = (SELECT f.id FROM procrastinate_jobs f WHERE f.lock = c.lock AND f.status = 'todo'
                    ORDER BY (-f.priority), f.id LIMIT 1)
    )
),
-- Of a share as many go to jobs with a time, retries nearly all of them, as are meant for them, and those that the
-- jobs without a time leave; the others to these.
shared AS (
    SELECT s.id
    FROM (SELECT u.id, u.due, u.share_jobs,
                 row_number() OVER (PARTITION BY u.share, u.due ORDER BY u.rank, u.position) AS place,
                 least(count(*) FILTER (WHERE u.due) OVER w,
                       greatest(u.share_retries, u.share_jobs - count(*) FILTER (WHERE NOT u.due) OVER w)) AS for_due
          FROM unlocked u WHERE u.share IS NOT NULL
          WINDOW w AS (PARTITION BY u.share)) s
    WHERE s.place <= CASE WHEN s.due THEN s.for_due ELSE s.share_jobs - s.for_due END
),
-- After the shares: the first job that has passed them is admitted here, so each claim comes further.
admitted AS (
    SELECT afresh.within_limits(
        array_agg(u.id ORDER BY u.rank, u.position, u.due <> p_due_first), p_limits, p_tasks, p_dependencies
    ) AS ids
    FROM unlocked u
    WHERE p_limits <> '{}' AND u.room IS NOT NULL AND (u.share IS NULL OR u.id IN (SELECT id FROM shared))
),
candidate AS (
    SELECT c.id, row_number() OVER (ORDER BY c.rank, c.position, c.due <> p_due_first) AS turn
    FROM unlocked c
    WHERE (c.share IS NULL OR c.id IN (SELECT id FROM shared))
      AND (c.room IS NULL OR c.id = ANY ((SELECT ids FROM admitted)::bigint[]))
    ORDER BY turn
    LIMIT p_window
),
taken AS (
    -- Looked up one by one: where a table was analyzed while it was empty, a join would read all of it for each row.
    SELECT j.id, c.turn
    FROM candidate c
    CROSS JOIN LATERAL (
        SELECT id FROM procrastinate_jobs
        WHERE id = c.id AND status::text = 'todo'  -- as text: no partial index may stand in for the primary key
        LIMIT 1
        FOR UPDATE SKIP LOCKED
    ) j
    LIMIT p_limit
)
SELECT (SELECT coalesce(array_agg(id ORDER BY turn), '{}') FROM taken),
       (SELECT count(*) FROM candidate) >= p_window,
       (SELECT count(*) FROM ready WHERE lock IS NOT NULL) >= 2 * p_window + 16
       OR (SELECT count(*) FROM due WHERE lock IS NOT NULL) >= 2 * p_window + 16
INTO o_ids, o_more, o_crowded;
END;
$$;

-- Runnable jobs found by hopping from lock to lock, at most 256 locks a call. Not those of dependencies of which only a
-- share may be taken: what was looked at before counts against it.
CREATE FUNCTION afresh.runnable_lock_heads(
    p_limit integer, p_queues text[], p_tasks text[], p_dependencies text[], p_shares jsonb, p_limits jsonb,
    p_besides bigint[]
) RETURNS bigint[]
LANGUAGE plpgsql
AS $$
DECLARE
    v_after text := coalesce(current_setting('afresh.lock_cursor', true), '');
    v_last text;
    v_seen integer;
    v_ids bigint[];
BEGIN
    WITH RECURSIVE head AS (
        (SELECT lock, id, 1 AS seen FROM procrastinate_jobs
         WHERE status = 'todo' AND lock >= v_after ORDER BY lock, (-priority), id LIMIT 1)
        UNION ALL
        SELECT hop.lock, hop.id, h.seen + 1
        FROM head h
        CROSS JOIN LATERAL (
            SELECT j.lock, j.id FROM procrastinate_jobs j
            WHERE j.status = 'todo' AND j.lock > h.lock ORDER BY j.lock, (-j.priority), j.id LIMIT 1
        ) hop
        WHERE h.seen < 256
    ),
    open_lane AS MATERIALIZED (
        SELECT * FROM afresh.open_lanes(p_queues, p_tasks, p_dependencies, p_shares, p_limits)
        WHERE locked AND share IS NULL
    ),
    free AS MATERIALIZED (
        SELECT j.id, j.priority, l.room
        FROM head
        JOIN procrastinate_jobs j ON j.id = head.id
        JOIN open_lane l ON l.queue_name = j.queue_name AND l.task_name = j.task_name
                        AND l.dependency = coalesce(j.afresh_dependency, '')
                        AND (l.rank IS NULL AND j.scheduled_at IS NULL
                             OR l.rank = (-j.priority) AND j.scheduled_at IS NOT NULL)
        WHERE j.status::text = 'todo'
          AND (j.scheduled_at IS NULL OR j.scheduled_at <= now())
          AND j.id <> ALL (p_besides)
          AND NOT EXISTS (SELECT FROM procrastinate_jobs r WHERE r.lock = j.lock AND r.status = 'doing')
    ),
    admitted AS (
        SELECT afresh.within_limits(
            p_besides || array_agg(id ORDER BY priority DESC, id), p_limits, p_tasks, p_dependencies
        ) AS ids
        FROM free WHERE p_limits <> '{}' AND room IS NOT NULL
    ),
    runnable AS (
        SELECT j.id, j.priority
        FROM free
        JOIN procrastinate_jobs j ON j.id = free.id
        WHERE j.status::text = 'todo'
          AND (free.room IS NULL OR j.id = ANY ((SELECT ids FROM admitted)::bigint[]))
        ORDER BY j.priority DESC, j.id
        LIMIT p_limit
        FOR UPDATE OF j SKIP LOCKED
    )
    SELECT (SELECT max(lock) FROM head), (SELECT count(*) FROM head),
           (SELECT coalesce(array_agg(id ORDER BY priority DESC, id), '{}') FROM runnable)
    INTO v_last, v_seen, v_ids;
    PERFORM set_config('afresh.lock_cursor', CASE WHEN v_seen < 256 THEN '' ELSE v_last END, false);
    RETURN v_ids;
END;
$$;

-- Takes up to p_limit runnable jobs for a worker and marks them as running.
--
--   p_queues        null: every queue
--   p_tasks, p_dependencies
--                   pairs: what each task relies on, for jobs whose own column is null
--   p_claim         number of this claim within the worker, which the settlements of its jobs must name
--   p_shares        of which dependencies only so many jobs may be taken, as `open_lanes` has it
--   p_due_first     whose turn it is when a job without a time and a due one tie. Both kinds take turns within one
--                   priority; a worker that claims one at a time alternates this, so that neither starves the other.
--
-- Jobs are looked at in order up to a window, twice the limit at first, so that workers who claim at the same moment
-- find jobs behind each other's locked rows. Where others hold all of them, such as a transaction that changes many
-- jobs, the window grows.
--
-- Of the jobs that share a lock only the first may run, and only when none of them does. When a crowd behind one lock
-- fills the window, a second look hops from lock to lock, going on where the last one of this session stopped.
--
-- Locks rows of procrastinate_jobs with SKIP LOCKED only: it never waits, save for the unique index of running locks,
-- and, where it may take jobs that a limit counts, for others who claim of that limit (migration 0019). A claim that loses the race there, or that another one waits for as well (a deadlock),
-- takes jobs without a lock instead.
--
-- The planner's statistics of a queue table are always old; the settings keep it on the indexes made for this.
CREATE FUNCTION afresh.claim(
    p_worker bigint,
    p_limit integer,
    p_queues text[] DEFAULT NULL,
    p_tasks text[] DEFAULT '{}',
    p_dependencies text[] DEFAULT '{}',
    p_due_first boolean DEFAULT false,
    p_claim bigint DEFAULT NULL,
    p_shares jsonb DEFAULT '[]'
) RETURNS TABLE (
    id bigint,
    queue_name text,
    task_name text,
    priority integer,
    lock text,
    queueing_lock text,
    args jsonb,
    scheduled_at timestamptz,
    attempts integer,
    abort_requested boolean,
    dependency text,
    max_retries integer,
    timeout interval,
    deadline timestamptz,
    task_type text,
    correlation_id text,
    metadata jsonb,
    waited jsonb,
    fingerprints text[],
    cost text
)
LANGUAGE plpgsql
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_sort = off
SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
    v_ids bigint[];
    v_more boolean;
    v_crowded boolean;
    v_window integer := 2 * p_limit;
    v_limits jsonb := '{}';
BEGIN
    IF EXISTS (SELECT FROM afresh.job_limit) THEN
        v_limits := afresh.allowances(p_queues, p_tasks, p_dependencies, p_shares);
    END IF;
    LOOP
        SELECT o_ids, o_more, o_crowded INTO v_ids, v_more, v_crowded
        FROM afresh.runnable(
            p_limit, v_window, p_queues, p_tasks, p_dependencies, p_due_first, true, p_shares, v_limits);
        EXIT WHEN cardinality(v_ids) >= p_limit OR NOT v_more OR v_window > 10000;
        v_window := 16 * v_window;
    END LOOP;
    IF v_crowded AND cardinality(v_ids) < p_limit THEN
        v_ids := v_ids || afresh.runnable_lock_heads(
            p_limit - cardinality(v_ids), p_queues, p_tasks, p_dependencies, p_shares, v_limits, v_ids);
    END IF;
    IF cardinality(v_ids) = 0 THEN
        RETURN;
    END IF;
    BEGIN
        UPDATE procrastinate_jobs SET status = 'doing', worker_id = p_worker, afresh_claim = p_claim
        WHERE id = ANY (v_ids);
    EXCEPTION WHEN unique_violation OR deadlock_detected THEN
        SELECT o_ids INTO v_ids
        FROM afresh.runnable(
            p_limit, 2 * p_limit, p_queues, p_tasks, p_dependencies, p_due_first, false, p_shares, v_limits);
        UPDATE procrastinate_jobs SET status = 'doing', worker_id = p_worker, afresh_claim = p_claim
        WHERE id = ANY (v_ids);
    END;
    IF v_limits <> '{}' THEN
        PERFORM afresh.spend_tokens(v_ids, p_tasks, p_dependencies);
    END IF;
    RETURN QUERY
    SELECT j.id, j.queue_name::text, j.task_name::text, j.priority, j.lock, j.queueing_lock, j.args, j.scheduled_at,
           j.attempts, j.abort_requested, j.afresh_dependency,
           o.max_retries, o.timeout, o.deadline, o.task_type, o.correlation_id, o.metadata, o.waited,
           CASE WHEN j.attempts > 0 THEN (
               SELECT array_agg(a.fingerprint ORDER BY a.id)
               FROM afresh.attempt a WHERE a.job_id = j.id AND a.outcome = 'failed'
           ) END,
           o.cost
    FROM unnest(v_ids) WITH ORDINALITY AS taken (id, position)
    CROSS JOIN LATERAL (SELECT * FROM procrastinate_jobs WHERE id = taken.id LIMIT 1) j
    LEFT JOIN afresh.job_option o ON o.job_id = j.id
    ORDER BY taken.position;
END;
$$;

-- When the next job that waits for its time falls due, or a rate limit lets one start; null if neither is to come. Lets
-- an idle worker sleep until then.
--
--   p_seen   seconds since its last claim began: what a limit has let start since then, that claim did not see
CREATE FUNCTION afresh.next_due(p_queues text[] DEFAULT NULL, p_seen double precision DEFAULT 0) RETURNS timestamptz
LANGUAGE plpgsql
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_sort = off
SET plan_cache_mode = force_generic_plan
AS $$
BEGIN RETURN (
SELECT least(min(first.scheduled_at), afresh.next_token(p_queues, p_seen))
FROM afresh.due_lanes() l
CROSS JOIN LATERAL (
    SELECT j.scheduled_at
    FROM procrastinate_jobs j
    WHERE j.status = 'todo' AND j.scheduled_at > now()
      AND j.queue_name = l.queue_name AND j.task_name = l.task_name
      AND coalesce(j.afresh_dependency, '') = l.dependency AND (j.lock IS NOT NULL) = l.locked
      AND (-j.priority) = l.rank
    ORDER BY j.scheduled_at
    LIMIT 1
) first
WHERE p_queues IS NULL OR l.queue_name = ANY (p_queues)
); END;
$$;
