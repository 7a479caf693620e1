-- Forgetting what is over, a slice at a time. Each tells how many rows it looked at, how far it came (null: what follows
-- is too young) and how many it removed. Losing that in a crash does no harm, so nobody waits for the disk.

-- name: hold_purge
-- Take the lease of the purge, or keep it, and say what was removed so far; false: somebody else has it.
SELECT afresh.hold_purge(%(holder)s, %(seconds)s, %(removed)s::jsonb);

-- name: end_purge
-- Give the lease back.
UPDATE afresh.purge
SET holder = NULL, held_until = 'epoch', ended_at = clock_timestamp(), removed = %(removed)s::jsonb
WHERE holder = %(holder)s;

-- name: read_purge
-- What the last purge did, and whether it is still at it.
SELECT began_at, ended_at, removed, holder IS NOT NULL AND held_until > clock_timestamp() AS at_work FROM afresh.purge;

-- name: hurry_clocked
-- Put what the clock has deferred for the service itself, and is overdue, before all other jobs: most of it is little
-- urgent, and under a steady stream of work its turn would never come. Each has a queueing lock of its own name. A purge
-- that goes on where another has come to is due since the first one's tick.
UPDATE procrastinate_jobs SET priority = %(priority)s
WHERE id = ANY (ARRAY(
    SELECT late.id
    FROM unnest(afresh.clocked_tasks()) AS own (task_name)
    CROSS JOIN LATERAL (
        SELECT j.id FROM procrastinate_jobs j
        WHERE j.status = 'todo' AND j.queueing_lock = split_part(own.task_name, '.', 4) AND j.task_name = own.task_name
          AND j.priority < %(priority)s
          AND CASE jsonb_typeof(j.args -> 'timestamp') WHEN 'number'
              THEN to_timestamp((j.args ->> 'timestamp')::double precision) < now() - %(patience)s::interval END
        LIMIT 1
        FOR UPDATE SKIP LOCKED
    ) late
));

-- name: find_bounds
-- Which jobs a purge has to look at: those made before the shorter of both times, and those beyond a number.
WITH kept AS MATERIALIZED (
    SELECT s.status, afresh.oldest_kept(s.status, s.count) AS id
    FROM unnest(%(statuses)s::procrastinate_job_status[], %(counts)s::bigint[]) AS s (status, count)
    WHERE s.count > 0
)
SELECT greatest(
           afresh.first_job_since(now() - least(%(succeeded)s::interval, %(failed)s::interval)),
           (SELECT max(id) FROM kept)
       ) AS before,
       coalesce((SELECT jsonb_object_agg(status, id) FROM kept WHERE id IS NOT NULL), '{}') AS keep;

-- name: purge_jobs
-- Jobs that have ended, with their events, results and options.
SELECT looked, last, removed
FROM afresh.purge_jobs(
    %(after)s, %(before)s, %(most)s, now() - %(succeeded)s::interval, now() - %(failed)s::interval, %(keep)s::jsonb
);

-- name: purge_letters
-- Dead letters that were resolved or abandoned.
SELECT looked, last, removed FROM afresh.purge_letters(%(after)s, %(most)s, now() - %(failed)s::interval);

-- name: purge_attempts
-- Attempts whose job is over.
SELECT looked, last, removed FROM afresh.purge_attempts(%(after)s, %(most)s, now() - %(attempts)s::interval);

-- name: purge_mail
-- What the mail server said, once no job and no dead letter needs to know any more who has a mail.
WITH gone AS (
    DELETE FROM afresh.mail_recipient
    WHERE ctid = ANY (ARRAY(
        SELECT m.ctid FROM afresh.mail_recipient m
        WHERE m.said_at < now() - %(attempts)s::interval AND NOT EXISTS (
            SELECT FROM procrastinate_jobs j WHERE j.id IN (m.job_id, m.said_to) AND j.status::text IN ('todo', 'doing')
        ) AND NOT EXISTS (
            SELECT FROM afresh.dead_letter l WHERE l.job_id = m.job_id AND l.status IN ('pending', 'retrying')
        )
        ORDER BY m.said_at LIMIT %(most)s
    ))
    RETURNING 1
)
SELECT count(*)::integer AS looked, NULLIF(count(*), 0) AS last, count(*)::integer AS removed FROM gone;

-- name: purge_progress
-- What jobs that are over have reported; how many at once is all that is said.
WITH gone AS (
    DELETE FROM afresh.progress
    WHERE ctid = ANY (ARRAY(
        SELECT p.ctid FROM afresh.progress p
        WHERE p.at < now() - %(attempts)s::interval AND NOT EXISTS (
            SELECT FROM procrastinate_jobs j WHERE j.id = p.job_id AND j.status::text IN ('todo', 'doing')
        )
        ORDER BY p.at LIMIT %(most)s
    ))
    RETURNING 1
)
SELECT count(*)::integer AS looked, NULLIF(count(*), 0) AS last, count(*)::integer AS removed FROM gone;

-- name: purge_audit
-- Rows of the audit.
WITH next AS MATERIALIZED (
    SELECT id, at < now() - %(audit)s::interval AS old FROM afresh.audit WHERE id > %(after)s ORDER BY id LIMIT %(most)s
),
gone AS (DELETE FROM afresh.audit WHERE id = ANY (ARRAY(SELECT id FROM next WHERE old)) RETURNING 1)
SELECT count(*)::integer AS looked, max(id) FILTER (WHERE old) AS last, (SELECT count(*) FROM gone)::integer AS removed
FROM next;

-- name: purge_breaker_events
-- Transitions of breakers.
WITH next AS MATERIALIZED (
    SELECT id, at < now() - %(samples)s::interval AS old
    FROM afresh.breaker_event WHERE id > %(after)s ORDER BY id LIMIT %(most)s
),
gone AS (DELETE FROM afresh.breaker_event WHERE id = ANY (ARRAY(SELECT id FROM next WHERE old)) RETURNING 1)
SELECT count(*)::integer AS looked, max(id) FILTER (WHERE old) AS last, (SELECT count(*) FROM gone)::integer AS removed
FROM next;

-- name: purge_batches
-- Batches of which no job is left.
WITH next AS MATERIALIZED (
    SELECT b.id, b.created_at < now() - %(succeeded)s::interval AS old,
           EXISTS (SELECT FROM afresh.job_option o WHERE o.batch_id = b.id) AS used
    FROM afresh.batch b WHERE b.id > %(after)s ORDER BY b.id LIMIT %(most)s
),
gone AS (DELETE FROM afresh.batch WHERE id = ANY (ARRAY(SELECT id FROM next WHERE old AND NOT used)) RETURNING 1)
SELECT count(*)::integer AS looked, max(id) FILTER (WHERE old) AS last, (SELECT count(*) FROM gone)::integer AS removed
FROM next;

-- name: purge_bulks
-- Bulk actions that have ended, or whose job is gone, and that no dead letter names.
WITH next AS MATERIALIZED (
    SELECT b.id, coalesce(b.ended_at, b.confirmed_at, b.expires_at) < now() - %(failed)s::interval AS old,
           b.outcome IS NULL AND EXISTS (SELECT FROM procrastinate_jobs j WHERE j.id = b.job_id)
           OR EXISTS (SELECT FROM afresh.dead_letter l WHERE l.bulk_id = b.id OR l.job_id = b.job_id) AS used
    FROM afresh.bulk b WHERE b.id > %(after)s ORDER BY b.id LIMIT %(most)s
),
gone AS (DELETE FROM afresh.bulk WHERE id = ANY (ARRAY(SELECT id FROM next WHERE old AND NOT used)) RETURNING 1)
SELECT count(*)::integer AS looked, max(id) AS last, (SELECT count(*) FROM gone)::integer AS removed
FROM next;

-- name: purge_probes
-- Probes that nobody runs any more and whose end went unheard.
WITH gone AS (
    DELETE FROM afresh.breaker_probe p
    WHERE p.since < now() - interval '1 day'
      AND NOT EXISTS (SELECT FROM procrastinate_jobs j WHERE j.id = p.job_id AND j.status::text = 'doing')
    RETURNING 1
)
SELECT 0 AS looked, NULL::bigint AS last, count(*)::integer AS removed FROM gone;

-- name: purge_groups
-- Failure groups that were not met again, with what was said about them; one that somebody muted stays.
WITH gone AS (
    DELETE FROM afresh.failure_group
    WHERE ctid = ANY (ARRAY(
        SELECT g.ctid FROM afresh.failure_group g LEFT JOIN afresh.failure_mark m ON m.fingerprint = g.fingerprint
        WHERE g.last_seen < now() - %(audit)s::interval AND coalesce(m.muted_until < now(), true)
        LIMIT %(most)s
    ))
    RETURNING fingerprint
),
marks AS (DELETE FROM afresh.failure_mark WHERE fingerprint = ANY (ARRAY(SELECT fingerprint FROM gone)))
SELECT count(*)::integer AS looked, NULLIF(count(*), 0) AS last, count(*)::integer AS removed FROM gone;

-- name: purge_counts
-- Counts of kinds of dead letters of which there are none any more.
WITH gone AS (DELETE FROM afresh.dead_letter_count WHERE folded AND letters = 0 RETURNING 1)
SELECT 0 AS looked, NULL::bigint AS last, count(*)::integer AS removed FROM gone;
