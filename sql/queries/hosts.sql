-- Hosts of API processes. Those of workers stand with each worker.

-- name: tell_host
-- How full one is now; one of which nobody has said anything for a day is forgotten.
WITH gone AS (
    DELETE FROM afresh.api_host WHERE told_at < now() - interval '1 day' AND host <> %(host)s
)
INSERT INTO afresh.api_host (host, memory_percent, disk_percent, told_at)
VALUES (%(host)s, %(memory_percent)s, %(disk_percent)s, now())
ON CONFLICT (host) DO UPDATE
SET memory_percent = excluded.memory_percent, disk_percent = excluded.disk_percent, told_at = excluded.told_at;

-- name: list_hosts
-- Those of which something was said lately.
SELECT host, memory_percent, disk_percent FROM afresh.api_host WHERE told_at > now() - %(lately)s::interval ORDER BY host;
