-- What Prometheus reads of the whole installation.

-- name: read_gauges
-- All of it, as rows of a name, two labels and a number.
SELECT gauge, name, state, value
FROM afresh.gauges(%(queues)s::text[], %(dependencies)s::text[], %(stalled_after)s::interval, %(most)s::integer);

-- name: count_restless_groups
-- Failure groups that are new, and those that have come back.
SELECT status, groups
FROM afresh.count_restless_groups(%(new_since)s::timestamptz, %(quiet_since)s::timestamptz, %(most)s::integer);
