-- Breakers, their history and their probes.

-- name: lock_breaker
-- A breaker and the time, and nobody changes it until the transaction ends; no row: it never failed.
SELECT b.*, clock_timestamp() AS now FROM afresh.breaker b WHERE b.name = %(name)s FOR UPDATE;

-- name: insert_breaker
-- Begin to keep a breaker.
INSERT INTO afresh.breaker (name) VALUES (%(name)s) ON CONFLICT DO NOTHING;

-- name: store_breaker
-- Keep what was made of a breaker.
UPDATE afresh.breaker
SET state = %(state)s, generation = %(generation)s, changed_at = %(changed_at)s, cause = %(cause)s,
    slots = %(slots)s::jsonb, suspect_since = %(suspect_since)s, failure_type = %(failure_type)s,
    hold_jobs = %(hold_jobs)s, hold_since = %(hold_since)s, until = %(until)s, break_seconds = %(break_seconds)s,
    reopenings = %(reopenings)s, probe_at = %(probe_at)s, probe_successes = %(probe_successes)s,
    permits = %(permits)s::jsonb, last_permit = %(last_permit)s, baseline = %(baseline)s, ceiling = %(ceiling)s,
    rate = %(rate)s, tokens = %(tokens)s, tokens_at = %(tokens_at)s, handed = %(handed)s, step_at = %(step_at)s,
    step_successes = %(step_successes)s, step_failures = %(step_failures)s, step_starved = %(step_starved)s,
    limited_at = %(limited_at)s
WHERE name = %(name)s;

-- name: record_transition
-- Keep a transition in the history, and tell every worker.
WITH event AS (
    INSERT INTO afresh.breaker_event (name, generation, before, after, at, cause)
    VALUES (%(name)s, %(generation)s, %(before)s, %(after)s, %(at)s, %(cause)s)
)
SELECT pg_notify('afresh_wake', '{"type": "breaker"}');

-- name: hold_dependency
-- Let claims take none of its jobs but what its breaker admits. What somebody else holds stays theirs. Whether it is
-- open, half-open, held or isolated, it lets nobody in, and has since the first of these; a ramp is something else.
INSERT INTO afresh.hold (kind, name, reason, held_by, held_at, generation)
VALUES ('dependency', %(name)s, %(cause)s, 'breaker', %(changed_at)s, %(generation)s)
ON CONFLICT (kind, name) DO UPDATE
SET reason = excluded.reason, generation = excluded.generation,
    held_at = CASE WHEN %(anew)s THEN excluded.held_at ELSE hold.held_at END
WHERE hold.held_by = 'breaker';

-- name: release_dependency
-- Let claims take its jobs.
DELETE FROM afresh.hold WHERE kind = 'dependency' AND name = %(name)s AND held_by = 'breaker';

-- name: wake_waiting
-- Bring forward what waits because of a breaker that lets jobs out again, and with it the record of each: runs of that
-- outcome, ended in that time, whose reason says so, be it relied on or guarded; each `soonest` after its end. At most so
-- many of them.
WITH waiting AS MATERIALIZED (
    SELECT a.id, a.job_id, a.next_run_at, greatest(%(at)s, a.ended_at + %(soonest)s) AS at
    FROM afresh.attempt a
    WHERE a.ended_at BETWEEN %(since)s AND %(until)s
      AND a.outcome::text = %(outcome)s AND a.next_run_at > greatest(%(at)s, a.ended_at + %(soonest)s)
      AND strpos(a.reason, %(said)s) > 0
),
due AS MATERIALIZED (
    SELECT j.id, s.id AS attempt, s.at
    FROM waiting s
    CROSS JOIN LATERAL (
        SELECT id FROM procrastinate_jobs
        WHERE id = s.job_id AND status::text = 'todo' AND scheduled_at = s.next_run_at
        LIMIT 1
        FOR UPDATE SKIP LOCKED
    ) j
    LIMIT %(most)s
),
woken AS (UPDATE procrastinate_jobs j SET scheduled_at = due.at FROM due WHERE j.id = due.id)
UPDATE afresh.attempt a SET next_run_at = due.at, delay = greatest(due.at - a.ended_at, interval '0')
FROM due
WHERE a.id = due.attempt;

-- name: find_trip
-- When a breaker last left the state in which everything is let in.
SELECT at FROM afresh.breaker_event WHERE name = %(name)s AND before = 'closed' ORDER BY id DESC LIMIT 1;

-- name: list_idle
-- Breakers that may have been without a call for long.
SELECT name, state
FROM afresh.breaker
WHERE state IN ('open', 'half_open') AND greatest(changed_at, until, probe_at) < now() - %(idle)s::interval
   OR state = 'closed' AND (slots <> '[]' OR hold_jobs <> '{}')
ORDER BY name;

-- name: forget_breakers
-- Forget breakers of which nothing is left to be known: closed, without counts, and without a history.
DELETE FROM afresh.breaker b
WHERE b.state = 'closed' AND b.slots = '[]' AND b.hold_jobs = '{}'
  AND (b.changed_at IS NULL OR b.changed_at < now() - %(idle)s::interval)
  AND NOT EXISTS (SELECT FROM afresh.breaker_event e WHERE e.name = b.name);

-- name: announce_room
-- Tell every worker that there may be room for another probe.
SELECT pg_notify('afresh_wake', '{"type": "breaker"}');

-- name: list_sick
-- The time, and every breaker that a worker must know. Those that are plainly healthy, and have a past, are many where
-- each host has a breaker: of them the first row says the names and generations alone.
SELECT clock_timestamp() AS at,
       CASE WHEN coalesce(sick.number, 1) = 1 THEN past.names END AS past_names,
       CASE WHEN coalesce(sick.number, 1) = 1 THEN past.generations END AS past_generations,
       sick.*
FROM (
    SELECT array_agg(name) AS names, array_agg(generation) AS generations
    FROM afresh.breaker
    WHERE state = 'closed' AND slots = '[]' AND hold_jobs = '{}' AND generation > 0
) past
LEFT JOIN (
    SELECT row_number() OVER () AS number, b.*
    FROM afresh.breaker b
    WHERE b.state <> 'closed' OR b.slots <> '[]' OR b.hold_jobs <> '{}'
) sick ON true
ORDER BY sick.number;

-- name: count_waiting
-- Of these dependencies, those with jobs that could run now, and how many, up to a limit.
SELECT * FROM afresh.count_waiting(%(names)s, %(queues)s, %(tasks)s, %(dependencies)s, %(most)s);

-- name: insert_probes
-- Note which jobs run as probes.
INSERT INTO afresh.breaker_probe (job_id, name, permit)
SELECT * FROM unnest(%(job_ids)s::bigint[], %(names)s::text[], %(permits)s::bigint[])
ON CONFLICT (job_id, name) DO UPDATE SET permit = excluded.permit, since = now();

-- name: delete_probe
-- A probe has ended.
DELETE FROM afresh.breaker_probe WHERE name = %(name)s AND permit = %(permit)s;

-- name: find_probes
-- The probes that a job ran as.
SELECT name, permit FROM afresh.breaker_probe WHERE job_id = %(job_id)s;

-- name: measure_throughput
-- Successful jobs per second that relied on a dependency in the minute before a time, as far as the latest events go.
WITH latest AS MATERIALIZED (
    SELECT e.job_id, e.at FROM procrastinate_events e
    WHERE e.type = 'succeeded' AND e.id > (SELECT max(id) - 100000 FROM procrastinate_events)
),
span AS (
    SELECT least(60.0, greatest(1.0, extract(epoch FROM %(before)s::timestamptz - min(at)))) AS seconds FROM latest
)
SELECT (count(*) / (SELECT seconds FROM span))::double precision
FROM latest l
CROSS JOIN LATERAL (
    SELECT coalesce(afresh_dependency, (SELECT t.dependency FROM afresh.task_dependency t WHERE t.task_name = p.task_name))
               AS name
    FROM procrastinate_jobs p WHERE p.id = l.job_id LIMIT 1
) j
WHERE j.name = %(name)s AND l.at <= %(before)s::timestamptz AND l.at > %(before)s::timestamptz - interval '1 minute';

-- name: tell_dependencies
-- Say what tasks rely on.
INSERT INTO afresh.task_dependency AS t (task_name, dependency, replay_on_recovery)
SELECT given.task_name, given.dependency, given.task_name = ANY (%(replayed)s::text[])
FROM unnest(%(tasks)s::text[], %(dependencies)s::text[]) AS given (task_name, dependency) ORDER BY 1
ON CONFLICT (task_name) DO UPDATE
SET dependency = excluded.dependency, replay_on_recovery = excluded.replay_on_recovery
WHERE (t.dependency, t.replay_on_recovery) IS DISTINCT FROM (excluded.dependency, excluded.replay_on_recovery);

-- name: replay_recovered
-- Have a job replay the dead letters of an outage, if a task wants that, or may want it whose jobs named the dependency
-- themselves: once for each recovery, as this transition is. The letters of an outage are the latest.
INSERT INTO procrastinate_jobs (queue_name, task_name, priority, args)
SELECT %(queue)s, %(task)s, 10, jsonb_build_object('dependency', %(name)s::text)
WHERE EXISTS (SELECT FROM afresh.task_dependency t WHERE t.dependency = %(name)s AND t.replay_on_recovery)
   OR EXISTS (
       SELECT FROM (
           SELECT l.status FROM afresh.dead_letter l WHERE l.dependency = %(name)s ORDER BY l.id DESC LIMIT 1000
       ) latest
       WHERE latest.status = 'pending'
   );

-- name: list_recovering_tasks
-- The tasks that rely on this dependency and whose dead letters of an outage are to be replayed.
SELECT task_name FROM afresh.task_dependency WHERE dependency = %(name)s AND replay_on_recovery ORDER BY task_name;

-- name: list_breakers
-- Every dependency that a breaker, a task or a hold names, or only the one asked for; waiting jobs up to a limit.
WITH known AS (
    SELECT name FROM afresh.breaker
    UNION SELECT dependency FROM afresh.task_dependency
    UNION SELECT unnest(%(names)s::text[])
    UNION SELECT h.name FROM afresh.hold h WHERE h.kind = 'dependency'
)
SELECT k.name AS known, b.*, h.reason AS hold_reason, h.held_by, h.held_at
FROM known k
LEFT JOIN afresh.breaker b ON b.name = k.name
LEFT JOIN afresh.hold h ON h.kind = 'dependency' AND h.name = k.name
WHERE %(name)s::text IS NULL OR k.name = %(name)s::text
ORDER BY k.name
LIMIT 1000;

-- name: search_breakers
-- The dependencies in whose name a text occurs: those that are not well first, then those that are suspect; and how many
-- there are. A closed one is left out where only the others are asked for.
WITH known AS (
    SELECT name FROM afresh.breaker
    UNION SELECT dependency FROM afresh.task_dependency
    UNION SELECT unnest(%(names)s::text[])
    UNION SELECT h.name FROM afresh.hold h WHERE h.kind = 'dependency'
)
SELECT k.name AS known, b.*, h.reason AS hold_reason, h.held_by, h.held_at, count(*) OVER () AS found
FROM known k
LEFT JOIN afresh.breaker b ON b.name = k.name
LEFT JOIN afresh.hold h ON h.kind = 'dependency' AND h.name = k.name
WHERE (%(text)s::text IS NULL OR k.name ILIKE %(text)s::text)
  AND (NOT %(unwell)s::boolean OR b.state <> 'closed')
ORDER BY coalesce(b.state, 'closed') = 'closed', coalesce(b.slots = '[]' AND b.hold_jobs = '{}', true), k.name
LIMIT %(limit)s;

-- name: count_held
-- Waiting jobs that rely on dependencies, by dependency and task, those of each lane counted up to a limit.
WITH lane AS (
    SELECT l.queue_name, l.task_name, l.dependency, l.locked FROM afresh.ready_lanes() l
    UNION
    SELECT d.queue_name, d.task_name, d.dependency, d.locked FROM afresh.due_lanes() d
)
SELECT at.name, l.task_name, sum(waiting.jobs)::bigint AS jobs
FROM lane l
LEFT JOIN unnest(%(tasks)s::text[], %(dependencies)s::text[]) AS own (task_name, dependency)
       ON own.task_name = l.task_name
LEFT JOIN afresh.task_dependency relies ON relies.task_name = l.task_name
CROSS JOIN LATERAL (SELECT coalesce(nullif(l.dependency, ''), own.dependency, relies.dependency) AS name) at
CROSS JOIN LATERAL (
    SELECT (SELECT count(*) FROM (
                SELECT FROM procrastinate_jobs j
                WHERE j.status = 'todo' AND j.scheduled_at IS NULL
                  AND j.queue_name = l.queue_name AND j.task_name = l.task_name
                  AND coalesce(j.afresh_dependency, '') = l.dependency AND (j.lock IS NOT NULL) = l.locked
                LIMIT %(most)s) ready)
         + (SELECT count(*) FROM (
                SELECT FROM procrastinate_jobs j
                WHERE j.status = 'todo' AND j.scheduled_at <= now()
                  AND j.queue_name = l.queue_name AND j.task_name = l.task_name
                  AND coalesce(j.afresh_dependency, '') = l.dependency AND (j.lock IS NOT NULL) = l.locked
                LIMIT %(most)s) due) AS jobs
) waiting
WHERE at.name = ANY (%(names)s)
GROUP BY at.name, l.task_name
ORDER BY at.name, l.task_name;

-- name: list_transitions
-- The history of a breaker, newest first.
SELECT name, generation, before, after, at, cause
FROM afresh.breaker_event WHERE name = %(name)s ORDER BY id DESC LIMIT %(limit)s;
