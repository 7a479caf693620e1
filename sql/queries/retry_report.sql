-- What became of the retries of one day. Hours are those of afresh.failure_hour, folded or not.

-- name: count_ended
-- Jobs that were made and runs that ended in a time, of a stretch of events; times of events rise with their ids.
SELECT count(*) FILTER (WHERE type = 'deferred') AS made,
       count(*) FILTER (WHERE type = 'succeeded') AS succeeded,
       count(*) FILTER (WHERE type = 'failed') AS failed,
       count(*) FILTER (WHERE type IN ('cancelled', 'aborted')) AS stopped
FROM procrastinate_events
WHERE id >= %(first)s AND id < %(last)s AND type <> 'scheduled' AND at >= %(since)s AND at < %(until)s;

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
-- Dead letters of a day by what became of them since, and those that wait, whenever they died.
SELECT coalesce(sum(letters) FILTER (WHERE died_on = %(day)s), 0)::bigint AS died,
       coalesce(sum(letters) FILTER (WHERE died_on = %(day)s AND status = 'pending'), 0)::bigint AS still_pending,
       coalesce(sum(letters) FILTER (WHERE status = 'pending'), 0)::bigint AS pending
FROM afresh.dead_letter_count;
