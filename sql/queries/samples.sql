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
       (SELECT count(*) FROM afresh.idempotency_repeat
        WHERE at >= %(minute)s AND at < %(minute)s::timestamptz + interval '1 minute'),
       greatest(0, (SELECT coalesce(sum(letters), 0) FROM afresh.dead_letter_count WHERE status = 'pending')),
       %(workers)s
ON CONFLICT (seconds, at) DO UPDATE
SET repeats = excluded.repeats, dead_letters = excluded.dead_letters, workers = excluded.workers;

-- name: sum_hour
-- Sum up one hour from its minutes.
SELECT afresh.sum_hour(%(hour)s);

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
-- How one task, or all of them together, did: a row for each step in which anything happened.
SELECT at, sum(submitted)::bigint AS submitted, sum(succeeded)::bigint AS succeeded, sum(failed)::bigint AS failed,
       sum(retried)::bigint AS retried, sum(buried)::bigint AS buried, sum(snoozed)::bigint AS snoozed,
       sum(lost)::bigint AS lost, sum(spent) AS spent, max(longest) AS longest,
       ARRAY[sum(durations[1]), sum(durations[2]), sum(durations[3]), sum(durations[4]), sum(durations[5]),
       sum(durations[6]), sum(durations[7]), sum(durations[8]), sum(durations[9]), sum(durations[10]),
       sum(durations[11]), sum(durations[12]), sum(durations[13]), sum(durations[14]),
       sum(durations[15])]::bigint[] AS durations
FROM afresh.task_sample
WHERE seconds = %(seconds)s AND at >= %(since)s AND at < %(until)s
  AND (%(task_name)s::text IS NULL OR task_name = %(task_name)s::text)
GROUP BY at
ORDER BY at;

-- name: read_tasks
-- How each task did, those that ran most first.
SELECT task_name, sum(submitted)::bigint AS submitted, sum(succeeded)::bigint AS succeeded,
       sum(failed)::bigint AS failed, sum(retried)::bigint AS retried, sum(buried)::bigint AS buried,
       sum(snoozed)::bigint AS snoozed, sum(lost)::bigint AS lost, sum(spent) AS spent, max(longest) AS longest,
       ARRAY[sum(durations[1]), sum(durations[2]), sum(durations[3]), sum(durations[4]), sum(durations[5]),
       sum(durations[6]), sum(durations[7]), sum(durations[8]), sum(durations[9]), sum(durations[10]),
       sum(durations[11]), sum(durations[12]), sum(durations[13]), sum(durations[14]),
       sum(durations[15])]::bigint[] AS durations
FROM afresh.task_sample
WHERE seconds = %(seconds)s AND at >= %(since)s AND at < %(until)s
GROUP BY task_name
ORDER BY sum(succeeded) + sum(failed) DESC, task_name
LIMIT %(most)s;

-- name: read_queues
-- How full the queues were.
SELECT at, queue_name, ready, ready_most, oldest_seconds, running
FROM afresh.queue_sample
WHERE seconds = %(seconds)s AND at >= %(since)s AND at < %(until)s
  AND (%(queue)s::text IS NULL OR queue_name = %(queue)s::text)
ORDER BY queue_name, at
LIMIT %(most)s;

-- name: read_service
-- Repeats, dead letters and workers.
SELECT at, repeats, dead_letters, workers
FROM afresh.service_sample
WHERE seconds = %(seconds)s AND at >= %(since)s AND at < %(until)s
ORDER BY at;

-- name: read_hours_of_tasks
-- Attempts and failures of each task by the hour.
SELECT task_name, at, succeeded + failed AS attempts, failed
FROM afresh.task_sample
WHERE seconds = 3600 AND at >= %(since)s AND at < %(until)s AND succeeded + failed > 0
ORDER BY task_name, at;
