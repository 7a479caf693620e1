-- How many workers are wanted.

-- name: tell_scaling
-- What a worker has that the database does not know otherwise.
INSERT INTO afresh.scaling AS s (concurrency, drain_seconds) VALUES (%(concurrency)s, %(drain_seconds)s)
ON CONFLICT (singleton) DO UPDATE SET concurrency = excluded.concurrency, drain_seconds = excluded.drain_seconds
WHERE (s.concurrency, s.drain_seconds) IS DISTINCT FROM (excluded.concurrency, excluded.drain_seconds);

-- name: read_scaling
-- All queues with work, by name, and last all of them together.
SELECT queue_name, ready, running, ended_per_second, seconds_per_job, slots, concurrency, drain_seconds, wanted_workers
FROM afresh.autoscaling
ORDER BY queue_name NULLS LAST;
