-- How many workers are wanted.

-- name: tell_drain
-- Within which time a backlog should be done.
INSERT INTO afresh.scaling AS s (drain_seconds) VALUES (%(drain_seconds)s)
ON CONFLICT (singleton) DO UPDATE SET drain_seconds = excluded.drain_seconds
WHERE s.drain_seconds IS DISTINCT FROM excluded.drain_seconds;

-- name: read_scaling
-- All queues with work, by name, and last all of them together.
SELECT queue_name, ready, running, ended_per_second, seconds_per_job, slots, concurrency, drain_seconds, wanted_workers
FROM afresh.autoscaling
ORDER BY queue_name NULLS LAST;
