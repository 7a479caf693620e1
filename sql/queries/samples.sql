-- Samples of how the service did: taking them, and reading them.

-- name: find_sampled
-- The minute that was sampled last.
SELECT max(at) FROM afresh.service_sample WHERE seconds = 60;

-- name: sample_tasks
-- Count one minute.
SELECT afresh.sample_tasks(%(minute)s, %(most)s);

-- name: sample_queues
-- What waits and runs now, under the minute that has just ended. Told by name are the queues that are known, which are
-- few, and of the others, which clients may name as they like, the fullest; the rest is told together.
WITH RECURSIVE hop AS (
    (SELECT queue_name FROM procrastinate_jobs ORDER BY queue_name LIMIT 1)
    UNION ALL
    SELECT (SELECT j.queue_name FROM procrastinate_jobs j WHERE j.queue_name > h.queue_name
            ORDER BY j.queue_name LIMIT 1)
    FROM hop h WHERE h.queue_name IS NOT NULL
),
ready AS MATERIALIZED (
    SELECT * FROM afresh.ready_by_queue(%(tasks)s::text[], %(dependencies)s::text[], %(counted)s::integer)
),
running AS MATERIALIZED (
    SELECT queue_name::text AS name, count(*) AS jobs FROM procrastinate_jobs WHERE status = 'doing' GROUP BY queue_name
),
seen AS (
    SELECT n.name, n.name = ANY (%(known)s::text[]) AS known, coalesce(r.jobs, 0) AS ready, coalesce(d.jobs, 0) AS running,
           coalesce(extract(epoch FROM %(now)s::timestamptz - least(r.due_at, (
               SELECT min(e.at) FROM procrastinate_events e WHERE e.job_id = r.first_id AND e.type = 'deferred'
           ))), 0) AS waited
    FROM (SELECT queue_name::text AS name FROM hop WHERE queue_name IS NOT NULL
          UNION SELECT h.name FROM afresh.hold h WHERE h.kind = 'queue') n
    LEFT JOIN ready r ON r.queue_name = n.name
    LEFT JOIN running d ON d.name = n.name
),
ranked AS (
    SELECT s.*, row_number() OVER (PARTITION BY s.known ORDER BY s.ready + s.running DESC, s.name) AS place FROM seen s
)
INSERT INTO afresh.queue_sample (seconds, queue_name, at, ready, ready_most, oldest_seconds, running)
SELECT 60, CASE WHEN known OR place <= %(others)s THEN name ELSE %(other)s::text END, %(minute)s,
       sum(ready), sum(ready), greatest(0, max(waited)), sum(running)
FROM ranked
GROUP BY 2
ORDER BY 2
ON CONFLICT (seconds, queue_name, at) DO UPDATE
SET ready = excluded.ready, ready_most = excluded.ready_most, oldest_seconds = excluded.oldest_seconds,
    running = excluded.running;

-- name: sample_service
-- Repeats of that minute, and how many dead letters and workers there are.
INSERT INTO afresh.service_sample (seconds, at, repeats, dead_letters, workers)
SELECT 60, %(minute)s,
       (SELECT coalesce(sum(jobs), 0) FROM afresh.idempotency_repeat
        WHERE at >= %(minute)s AND at < %(minute)s::timestamptz + interval '1 minute'),
       %(dead_letters)s, %(workers)s
ON CONFLICT (seconds, at) DO UPDATE
SET repeats = excluded.repeats, dead_letters = excluded.dead_letters, workers = excluded.workers;

-- name: sum_service
-- Add up the tasks of that minute but those that the clock runs.
SELECT afresh.sum_service(60, %(minute)s, %(minute)s::timestamptz + interval '1 minute');

-- name: fold_tasks
-- Tell the tasks of one minute beyond the busiest ones together..
WITH ranked AS (
    SELECT task_name, row_number() OVER (ORDER BY succeeded + failed DESC, submitted DESC, task_name) AS place
    FROM afresh.task_sample
    WHERE seconds = 60 AND at = %(minute)s AND task_name <> %(other)s::text
),
small AS (
    DELETE FROM afresh.task_sample t
    USING ranked r
    WHERE t.seconds = 60 AND t.at = %(minute)s AND t.task_name = r.task_name AND r.place > %(most)s
    RETURNING t.*
)
INSERT INTO afresh.task_sample
SELECT 60, %(other)s::text, %(minute)s, sum(submitted), sum(succeeded), sum(failed), sum(retried), sum(buried),
       sum(snoozed), sum(lost), sum(spent), max(longest),
       ARRAY[sum(durations[1]), sum(durations[2]), sum(durations[3]), sum(durations[4]), sum(durations[5]),
       sum(durations[6]), sum(durations[7]), sum(durations[8]), sum(durations[9]), sum(durations[10]),
       sum(durations[11]), sum(durations[12]), sum(durations[13]), sum(durations[14]),
       sum(durations[15])]::bigint[]
FROM small
HAVING count(*) > 0
ON CONFLICT (seconds, task_name, at) DO UPDATE
SET submitted = excluded.submitted, succeeded = excluded.succeeded, failed = excluded.failed,
    retried = excluded.retried, buried = excluded.buried, snoozed = excluded.snoozed, lost = excluded.lost,
    spent = excluded.spent, longest = excluded.longest, durations = excluded.durations;

-- name: sum_samples
-- Sum up an hour from its minutes, or a day from its hours.
SELECT afresh.sum_samples(%(seconds)s, %(at)s);

-- name: forget_task_samples
-- Samples of tasks of one width, beyond their time.
DELETE FROM afresh.task_sample WHERE (seconds, task_name, at) IN (
    SELECT seconds, task_name, at FROM afresh.task_sample WHERE seconds = %(seconds)s AND at < now() - %(kept)s::interval
    LIMIT %(most)s
);

-- name: forget_queue_samples
-- Samples of queues of one width, beyond their time.
DELETE FROM afresh.queue_sample WHERE (seconds, queue_name, at) IN (
    SELECT seconds, queue_name, at FROM afresh.queue_sample WHERE seconds = %(seconds)s AND at < now() - %(kept)s::interval
    LIMIT %(most)s
);

-- name: forget_service_samples
-- Samples of the service of one width, beyond their time.
DELETE FROM afresh.service_sample WHERE seconds = %(seconds)s AND at < now() - %(kept)s::interval;

-- name: forget_repeats
-- Repeats whose minute is sampled.
DELETE FROM afresh.idempotency_repeat WHERE id IN (
    SELECT id FROM afresh.idempotency_repeat WHERE at < now() - interval '1 hour' LIMIT %(most)s
);

-- name: read_points
-- How all tasks together did but those that the clock runs: a row for each step in which anything happened.
SELECT at, submitted, succeeded, failed, retried, buried, snoozed, lost, spent, longest, durations
FROM afresh.service_sample
WHERE seconds = %(seconds)s AND at >= %(since)s AND at < %(until)s AND cardinality(durations) > 0
ORDER BY at;

-- name: read_points_of_task
-- The same of one task.
SELECT at, submitted, succeeded, failed, retried, buried, snoozed, lost, spent, longest, durations
FROM afresh.task_sample
WHERE seconds = %(seconds)s AND task_name = %(task_name)s AND at >= %(since)s AND at < %(until)s
ORDER BY at;

-- name: read_tasks
-- How each task did in a time that is given in parts, each in steps of one width; those that ran most first.
SELECT task_name, sum(submitted)::bigint AS submitted, sum(succeeded)::bigint AS succeeded,
       sum(failed)::bigint AS failed, sum(retried)::bigint AS retried, sum(buried)::bigint AS buried,
       sum(snoozed)::bigint AS snoozed, sum(lost)::bigint AS lost, sum(spent) AS spent, max(longest) AS longest,
       ARRAY[sum(durations[1]), sum(durations[2]), sum(durations[3]), sum(durations[4]), sum(durations[5]),
       sum(durations[6]), sum(durations[7]), sum(durations[8]), sum(durations[9]), sum(durations[10]),
       sum(durations[11]), sum(durations[12]), sum(durations[13]), sum(durations[14]),
       sum(durations[15])]::bigint[] AS durations
FROM unnest(%(seconds)s::integer[], %(since)s::timestamptz[], %(until)s::timestamptz[]) AS part (seconds, since, until)
CROSS JOIN LATERAL (  -- Part by part, by the index.
    SELECT t.* FROM afresh.task_sample t
    WHERE t.seconds = part.seconds AND t.at >= part.since AND t.at < part.until
      AND (%(task_name)s::text IS NULL OR t.task_name = %(task_name)s::text)
    OFFSET 0
) s
GROUP BY task_name
ORDER BY sum(succeeded) + sum(failed) DESC, task_name
LIMIT %(most)s;

-- name: read_queues
-- How full the queues were: those that were fullest, by steps that are wide enough for few rows.
WITH fullest AS (
    SELECT queue_name
    FROM afresh.queue_sample
    WHERE seconds = %(wide)s AND at >= %(wide_since)s AND at < %(until)s
      AND (%(queue)s::text IS NULL OR queue_name = %(queue)s::text)
    GROUP BY queue_name
    ORDER BY max(ready_most) DESC, max(running) DESC, queue_name
    LIMIT %(most)s
)
SELECT s.at, s.queue_name, s.ready, s.ready_most, s.oldest_seconds, s.running
FROM fullest f
CROSS JOIN LATERAL (
    SELECT q.* FROM afresh.queue_sample q
    WHERE q.seconds = %(seconds)s AND q.queue_name = f.queue_name AND q.at >= %(since)s AND q.at < %(until)s
) s
ORDER BY s.queue_name, s.at;

-- name: read_service
-- Repeats, dead letters, workers and jobs that were made.
SELECT at, repeats, dead_letters, workers, submitted
FROM afresh.service_sample
WHERE seconds = %(seconds)s AND at >= %(since)s AND at < %(until)s
ORDER BY at;

-- name: read_past_of_tasks
-- Attempts and failures of some tasks by the hour, added up to what says how much the hours differed.
SELECT task_name, count(*) AS hours, sum(succeeded + failed)::bigint AS attempts, sum(failed)::bigint AS failed,
       sum(failed::double precision ^ 2 / (succeeded + failed)) AS squares
FROM afresh.task_sample
WHERE seconds = 3600 AND task_name = ANY (%(tasks)s::text[]) AND at >= %(since)s AND at < %(until)s
  AND succeeded + failed > 0
GROUP BY task_name;
