-- What the history of failures comes to by type, task and hour, and the work that keeps it short.

-- name: count_types
-- How often each failure type was met since the beginning of an hour, in how many new jobs, and when last.
SELECT failure_type, sum(failures)::bigint AS failures, sum(jobs)::bigint AS jobs, max(last_seen) AS last_seen
FROM afresh.failures_since(%(since)s)
GROUP BY failure_type
HAVING sum(failures) > 0;

-- name: tally_failures
-- The same by type and hour, by type, by task and as a whole: what a row is not about is null in it.
SELECT failure_type, hour, task_name,
       sum(failures)::bigint AS failures, sum(jobs)::bigint AS jobs, sum(retries)::bigint AS retries,
       sum(retries_failed)::bigint AS retries_failed, sum(retries_succeeded)::bigint AS retries_succeeded,
       sum(retries_before_success)::bigint AS retries_before_success, sum(deaths)::bigint AS deaths,
       sum(calls_of_dead)::bigint AS calls_of_dead, extract(epoch FROM sum(spent))::double precision AS spent_seconds
FROM afresh.failures_since(%(since)s)
GROUP BY GROUPING SETS ((failure_type, hour), (failure_type), (task_name), ());

-- name: note_failures
-- Note what is to be folded.
SELECT afresh.note_failures();

-- name: fold_failures
-- Fold some of what is noted; how many there were.
SELECT afresh.fold_failures(%(most)s);

-- name: forget_hours
-- Some of the hours that are older than wanted.
WITH old AS (
    SELECT ctid FROM afresh.failure_hour WHERE hour < now() - %(kept)s::interval LIMIT %(most)s
)
DELETE FROM afresh.failure_hour WHERE ctid = ANY (ARRAY(SELECT ctid FROM old));

-- name: forget_group_hours
-- The same of groups.
WITH old AS (
    SELECT ctid FROM afresh.failure_group_hour WHERE hour < now() - %(kept)s::interval LIMIT %(most)s
)
DELETE FROM afresh.failure_group_hour WHERE ctid = ANY (ARRAY(SELECT ctid FROM old));
