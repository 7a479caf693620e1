-- What became of the retries of some days. Hours are those of afresh.failure_hour, folded or not.

-- name: count_ended
-- Jobs that were made and runs that ended in a time, of a stretch of events; times of events rise with their ids.
SELECT count(*) FILTER (WHERE type = 'deferred') AS made,
       count(*) FILTER (WHERE type = 'succeeded') AS succeeded,
       count(*) FILTER (WHERE type = 'failed') AS failed,
       count(*) FILTER (WHERE type IN ('cancelled', 'aborted')) AS stopped
FROM procrastinate_events
WHERE id >= %(first)s AND id < %(last)s AND type <> 'scheduled' AND at >= %(since)s AND at < %(until)s;

-- name: count_clocked
-- The same of the jobs that the clock runs for the service itself, which are all in these queues.
SELECT count(*) FILTER (WHERE e.type = 'deferred') AS made,
       count(*) FILTER (WHERE e.type = 'succeeded') AS succeeded,
       count(*) FILTER (WHERE e.type = 'failed') AS failed,
       count(*) FILTER (WHERE e.type IN ('cancelled', 'aborted')) AS stopped
FROM procrastinate_jobs j
JOIN procrastinate_events e ON e.job_id = j.id
WHERE j.queue_name = ANY (%(queues)s::text[]) AND afresh.is_clocked(j.task_name)
  AND e.type <> 'scheduled' AND e.at >= %(since)s AND e.at < %(until)s;

-- name: find_stretch
-- The stretch of events that a time is in, with an hour of room for transactions that were open for long.
SELECT afresh.first_event_since(%(since)s - interval '1 hour') AS first,
       afresh.first_event_since(%(until)s + interval '1 hour') AS last;

-- name: sum_failures
-- Failures and retries by type, and as a whole: there the type is null.
SELECT failure_type, sum(failures)::bigint AS failures, sum(jobs)::bigint AS jobs, sum(retries)::bigint AS retries,
       sum(retries_failed)::bigint AS retries_failed, sum(retries_succeeded)::bigint AS retries_succeeded,
       sum(retries_before_success)::bigint AS retries_before_success, sum(deaths)::bigint AS deaths,
       sum(calls_of_dead)::bigint AS calls_of_dead, extract(epoch FROM sum(spent))::double precision AS spent_seconds
FROM afresh.failures_since(%(since)s)
WHERE hour < %(until)s
GROUP BY GROUPING SETS ((failure_type), ())
ORDER BY failures DESC NULLS LAST, failure_type;

-- name: list_day_groups
-- The groups that failed most often in a time, and whether they were met in it for the first time.
WITH counted AS (
    SELECT fingerprint, sum(failures)::bigint AS failures
    FROM (SELECT * FROM afresh.failure_group_hour WHERE hour >= %(since)s AND hour < %(until)s
          UNION ALL
          SELECT * FROM afresh.fresh_group_hours() WHERE hour >= %(since)s AND hour < %(until)s) AS hours
    GROUP BY fingerprint
)
SELECT c.fingerprint, c.failures, g.failure_type, g.exception_type, left(g.message, 500) AS message, g.tasks,
       g.first_seen >= %(since)s AS is_new, count(*) OVER () AS groups,
       count(*) FILTER (WHERE g.first_seen >= %(since)s) OVER () AS new_groups
FROM counted c JOIN afresh.failure_groups g ON g.fingerprint = c.fingerprint
ORDER BY c.failures DESC, c.fingerprint
LIMIT %(most)s;

-- name: count_day_letters
-- Dead letters of some days by what became of them since, and those that wait, whenever they died.
SELECT coalesce(sum(letters) FILTER (WHERE died_on BETWEEN %(day)s AND %(last_day)s), 0)::bigint AS died,
       coalesce(sum(letters) FILTER (WHERE died_on BETWEEN %(day)s AND %(last_day)s AND status = 'pending'), 0)::bigint AS still_pending,
       coalesce(sum(letters) FILTER (WHERE status = 'pending'), 0)::bigint AS pending
FROM afresh.dead_letter_count;

-- name: measure_outages
-- How long the breakers that were not closed all the time were in which state: those of the longest trouble, and how many
-- there are.
WITH spell AS (
    SELECT name, before, after AS state, at AS begun, lead(at) OVER (PARTITION BY name ORDER BY id) AS ended
    FROM afresh.breaker_event WHERE at < %(until)s
    UNION ALL
    -- What was before the first transition that is kept.
    (SELECT DISTINCT ON (name) name, NULL, before, '-infinity', at FROM afresh.breaker_event ORDER BY name, id)
    UNION ALL
    -- Those of which no transition is kept.
    SELECT b.name, NULL, b.state, b.changed_at, NULL
    FROM afresh.breaker b
    WHERE NOT EXISTS (SELECT FROM afresh.breaker_event e WHERE e.name = b.name)
),
stretch AS (
    SELECT name, before, state, begun, least(coalesce(ended, 'infinity'), %(until)s, now()) AS ended,
           extract(epoch FROM least(coalesce(ended, 'infinity'), %(until)s, now()) - greatest(begun, %(since)s))
               ::double precision AS seconds
    FROM spell
    WHERE begun < %(until)s AND coalesce(ended, 'infinity') > %(since)s
)
SELECT name, count(*) FILTER (WHERE state = 'open' AND before <> 'half_open' AND begun >= %(since)s) AS openings,
       coalesce(sum(seconds) FILTER (WHERE state IN ('open', 'half_open')), 0) AS open_seconds,
       coalesce(sum(seconds) FILTER (WHERE state IN ('held', 'isolated')), 0) AS held_seconds,
       coalesce(sum(seconds) FILTER (WHERE state = 'ramping'), 0) AS ramping_seconds,
       (array_agg(state ORDER BY ended DESC, begun DESC))[1] AS state, count(*) OVER () AS troubled
FROM stretch
GROUP BY name
HAVING bool_or(state <> 'closed')
ORDER BY coalesce(sum(seconds) FILTER (WHERE state NOT IN ('closed', 'ramping')), 0) DESC, name
LIMIT %(most)s;
