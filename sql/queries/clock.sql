-- When periodic tasks were deferred.

-- name: find_last_ticks
-- The last tick of each of these tasks, in seconds since 1970.
SELECT task_name, max(defer_timestamp) FROM procrastinate_periodic_defers
WHERE task_name = ANY (%(tasks)s::text[])
GROUP BY task_name;
