-- What Prometheus reads of the whole installation.

-- name: read_gauges
-- All of it, as rows of a name, two labels and a number.
SELECT gauge, name, state, value
FROM afresh.gauges(%(queues)s::text[], %(dependencies)s::text[], %(stalled_after)s::interval, %(most)s::integer);
