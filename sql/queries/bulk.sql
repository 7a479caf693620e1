-- Bulk actions on dead letters. What is asked for takes the place of /* filters */.

-- name: count_matching
-- The pending letters that a filter lets through: how many, since when, and up to which.
SELECT count(*) AS letters, min(l.first_died_at) AS oldest, coalesce(max(l.id), 0) AS upper_id
FROM afresh.dead_letter l
WHERE l.status = 'pending'
/* filters */;

-- name: preview_matching
-- The same, and besides: whose letters they are, and what killed them, most first. Each letter is looked at once: a
-- filter by text costs more than all the rest.
WITH matching AS MATERIALIZED (
    SELECT l.task_name, l.fingerprint, min(l.failure_type) AS failure_type, min(l.exception_type) AS exception_type,
           min(l.message) AS message, count(*) AS letters, min(l.first_died_at) AS oldest, max(l.id) AS upper_id
    FROM afresh.dead_letter l
    WHERE l.status = 'pending'
    /* filters */
    GROUP BY l.task_name, l.fingerprint
)
SELECT coalesce(sum(letters), 0)::bigint AS letters, min(oldest) AS oldest, coalesce(max(upper_id), 0) AS upper_id,
       ARRAY(
           SELECT jsonb_build_object('task_name', task_name, 'letters', sum(letters)) FROM matching
           GROUP BY task_name
           ORDER BY sum(letters) DESC, task_name LIMIT %(most)s
       ) AS tasks,
       ARRAY(
           SELECT jsonb_build_object(
               'fingerprint', fingerprint, 'failure_type', min(failure_type), 'exception_type', min(exception_type),
               'message', left(min(message), 200), 'letters', sum(letters)
           )
           FROM matching
           GROUP BY fingerprint
           ORDER BY sum(letters) DESC, fingerprint LIMIT %(most)s
       ) AS groups
FROM matching;

-- name: keep_preview
-- A preview, to be confirmed with its token.
INSERT INTO afresh.bulk (action, filter, token_hash, upper_id, previewed, expires_at, actor)
VALUES (
    %(action)s::afresh.bulk_action, %(filter)s::jsonb, %(token_hash)s, %(upper_id)s, %(previewed)s,
    now() + %(ttl)s::interval, %(actor)s
)
RETURNING id, expires_at;

-- name: drop_previews
-- Forget what nobody confirmed in time.
DELETE FROM afresh.bulk WHERE job_id IS NULL AND expires_at < now();

-- name: find_preview
-- The preview of a token, and nobody else confirms it until the transaction ends.
SELECT id, action::text AS action, filter, previewed, upper_id, job_id, expires_at <= now() AS expired
FROM afresh.bulk
WHERE token_hash = %(token_hash)s
FOR UPDATE;

-- name: confirm_bulk
-- Let it be run by a job.
UPDATE afresh.bulk
SET job_id = %(job_id)s, confirmed_at = now(), actor = %(actor)s, reason = %(reason)s,
    rate_per_second = %(rate_per_second)s, stop_share = %(stop_share)s
WHERE id = %(bulk_id)s;

-- name: list_bulks
-- One page, newest first, with what became of their letters so far, and the states of their jobs. Previews are none.
SELECT b.id, b.action::text AS action, b.filter, b.previewed, b.actor, b.reason, b.rate_per_second, b.stop_share, b.job_id,
       b.confirmed_at, b.acted, b.skips, b.cancelled_by, b.outcome::text AS outcome, b.ended_at, j.state AS job_state,
       coalesce((SELECT jsonb_object_agg(s.status, s.letters) FROM (
           SELECT l.status, count(*) AS letters FROM afresh.dead_letter l WHERE l.bulk_id = b.id GROUP BY l.status
       ) AS s), '{}') AS statuses
FROM afresh.bulk b
LEFT JOIN LATERAL (SELECT * FROM afresh.jobs v WHERE v.id = b.job_id OFFSET 0) j ON true
WHERE b.job_id IS NOT NULL AND (%(before)s::bigint IS NULL OR b.id < %(before)s::bigint)
/* filters */
ORDER BY b.id DESC
LIMIT %(limit)s::integer OFFSET %(offset)s::integer;

-- name: count_bulks
-- How many there are, counted up to a limit.
SELECT count(*) AS total
FROM (
    SELECT
    FROM afresh.bulk b
    WHERE b.job_id IS NOT NULL
    /* filters */
    LIMIT %(most)s::integer
) AS counted;

-- name: estimate_bulks
-- How many the planner expects; its first node says so.
EXPLAIN (FORMAT JSON)
SELECT
FROM afresh.bulk b
WHERE b.job_id IS NOT NULL
/* filters */;

-- name: lock_bulk
-- How far it is; whoever runs it, or wants it ended, waits here for the other.
SELECT id, action::text AS action, filter, upper_id, previewed, actor, reason, rate_per_second, stop_share, job_id,
       cursor, acted, skips, cancelled_by, outcome::text AS outcome
FROM afresh.bulk
WHERE id = %(bulk_id)s
FOR UPDATE;

-- name: take_bulk
-- The job that runs it now: not the first one, if that died and was replayed.
UPDATE afresh.bulk SET job_id = %(job_id)s WHERE id = %(bulk_id)s AND job_id IS DISTINCT FROM %(job_id)s;

-- name: replay_letters
-- The next letters, oldest first, each with a fresh job in the place of the one that died. Left out are those whose task
-- is not known, and those whose queueing lock is held.
WITH chosen AS MATERIALIZED (
    SELECT l.*
    FROM afresh.dead_letter l
    WHERE l.status = 'pending' AND l.id > %(cursor)s AND l.id <= %(upper_id)s
    /* filters */
    ORDER BY l.id LIMIT %(limit)s
    FOR UPDATE OF l
),
fit AS MATERIALIZED (
    SELECT nextval(pg_get_serial_sequence('procrastinate_jobs', 'id')) AS new_id, c.*
    FROM chosen c
    WHERE c.task_name = ANY (%(tasks)s::text[])
),
job AS (
    INSERT INTO procrastinate_jobs (
        id, queue_name, task_name, priority, lock, queueing_lock, args, afresh_dependency, afresh_letter
    )
    SELECT new_id, queue_name, task_name, priority, lock, queueing_lock, args, dependency, id
    FROM fit
    ORDER BY queueing_lock NULLS FIRST, id
    ON CONFLICT (queueing_lock) WHERE status = 'todo' DO NOTHING
    RETURNING id, afresh_letter
),
option AS (
    INSERT INTO afresh.job_option (
        job_id, max_retries, timeout, task_type, correlation_id, metadata, submitted_by, cost, replay_of
    )
    SELECT f.new_id, o.max_retries, o.timeout, o.task_type, o.correlation_id, o.metadata, o.submitted_by, o.cost,
           coalesce(f.replayed_as, f.job_id)
    FROM job JOIN fit f ON f.new_id = job.id
    LEFT JOIN afresh.job_option o ON o.job_id = coalesce(f.replayed_as, f.job_id)
),
moved AS (
    UPDATE afresh.dead_letter d
    SET status = 'retrying', replays = d.replays + 1, replayed_as = job.id, bulk_id = %(bulk_id)s, changed_at = now()
    FROM job
    WHERE d.id = job.afresh_letter
    RETURNING d.id
)
SELECT count(*) AS chosen, (SELECT count(*) FROM fit) AS fit, (SELECT count(*) FROM moved) AS acted, max(id) AS cursor
FROM chosen;

-- name: hold_next
-- The next letter, and nobody else changes it until the transaction ends.
SELECT l.id
FROM afresh.dead_letter l
WHERE l.status = 'pending' AND l.id > %(cursor)s AND l.id <= %(upper_id)s
/* filters */
ORDER BY l.id LIMIT 1
FOR UPDATE OF l;

-- name: abandon_letters
-- The next letters, oldest first, given up.
WITH chosen AS MATERIALIZED (
    SELECT l.id
    FROM afresh.dead_letter l
    WHERE l.status = 'pending' AND l.id > %(cursor)s AND l.id <= %(upper_id)s
    /* filters */
    ORDER BY l.id LIMIT %(limit)s
    FOR UPDATE OF l
),
moved AS (
    UPDATE afresh.dead_letter d
    SET status = 'abandoned', note = %(reason)s, bulk_id = %(bulk_id)s, changed_at = now()
    FROM chosen
    WHERE d.id = chosen.id
    RETURNING d.id
)
SELECT count(*) AS chosen, count(*) AS fit, (SELECT count(*) FROM moved) AS acted, max(id) AS cursor FROM chosen;

-- name: advance_bulk
-- How far it has come.
UPDATE afresh.bulk
SET cursor = %(cursor)s, acted = acted + %(acted)s, skips = %(skips)s::jsonb
WHERE id = %(bulk_id)s;

-- name: judge_bulk
-- How it goes for the jobs it made: of the last that ended or failed, those that succeeded and those that did not; and of
-- the newest, those that have not run yet. A failure counts at once, not when the retries are spent.
WITH seen AS (
    (SELECT l.changed_at AS at, true AS well
     FROM afresh.dead_letter l
     WHERE l.bulk_id = %(bulk_id)s AND l.status = 'resolved'
     ORDER BY l.changed_at DESC LIMIT %(judged)s)
    UNION ALL
    (SELECT l.changed_at, false
     FROM afresh.dead_letter l
     WHERE l.bulk_id = %(bulk_id)s AND l.status = 'pending' AND l.died_as = l.replayed_as
     ORDER BY l.changed_at DESC LIMIT %(judged)s)
    UNION ALL
    (SELECT a.ended_at, false
     FROM (SELECT l.replayed_as FROM afresh.dead_letter l
           WHERE l.bulk_id = %(bulk_id)s AND l.status = 'retrying'
           ORDER BY l.changed_at LIMIT %(most)s) AS oldest
     CROSS JOIN LATERAL (SELECT a.ended_at FROM afresh.attempt a
                         WHERE a.job_id = oldest.replayed_as AND a.outcome = 'failed' AND a.counted
                         ORDER BY a.id DESC LIMIT 1) AS a)
),
last AS (SELECT well FROM seen ORDER BY at DESC LIMIT %(judged)s),
newest AS (
    SELECT l.replayed_as FROM afresh.dead_letter l
    WHERE l.bulk_id = %(bulk_id)s AND l.status = 'retrying'
    ORDER BY l.changed_at DESC LIMIT %(most)s
)
SELECT count(*) FILTER (WHERE well) AS succeeded, count(*) FILTER (WHERE NOT well) AS failed,
       (SELECT count(*) FROM newest n JOIN procrastinate_jobs j ON j.id = n.replayed_as
        WHERE j.status = 'todo' AND j.attempts = 0) AS waiting
FROM last;

-- name: ask_for_end
-- Have it end before its next letters.
UPDATE afresh.bulk SET cancelled_by = %(actor)s WHERE id = %(bulk_id)s;

-- name: cancel_run
-- Take the job out of its queue, if no worker has it.
UPDATE procrastinate_jobs SET status = 'cancelled' WHERE id = %(job_id)s AND status = 'todo';

-- name: find_run
-- Whether a worker has the job.
SELECT EXISTS (SELECT FROM procrastinate_jobs WHERE id = %(job_id)s AND status = 'doing') AS runs;

-- name: end_bulk
-- It is over.
UPDATE afresh.bulk SET outcome = %(outcome)s::afresh.bulk_outcome, ended_at = now() WHERE id = %(bulk_id)s;
