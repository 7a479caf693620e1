-- Dead letters: finding them, bringing them back, giving them up. What is asked for takes the place of /* filters */.

-- name: find_letter
-- One letter.
SELECT id, job_id, status::text AS status, cause::text AS cause, task_name, queue_name AS queue, priority, args, lock,
       queueing_lock, dependency, attempts, failure_type, fingerprint, exception_type, message, remediation, reason,
       first_died_at, died_at, died_as, replays, replayed_as, bulk_id, changed_at, note
FROM afresh.dead_letter
WHERE id = %(letter_id)s;

-- name: lock_letter
-- What a replay starts from, and nobody changes the letter until the transaction ends.
SELECT id, job_id, status::text AS status, task_name, args, queueing_lock, replayed_as
FROM afresh.dead_letter
WHERE id = %(letter_id)s
FOR UPDATE;

-- name: find_letter_of_job
-- The letter of a job: that of its own death, or the one in whose place it runs.
SELECT l.id
FROM procrastinate_jobs j JOIN afresh.dead_letter l ON l.id = j.afresh_letter OR l.job_id = j.id
WHERE j.id = %(job_id)s
ORDER BY l.id LIMIT 1;

-- name: find_chain
-- Every job of a letter, the first one first, and its state; null: the job is not kept any more.
WITH RECURSIVE chain AS (
    SELECT coalesce(l.replayed_as, l.job_id) AS job_id FROM afresh.dead_letter l WHERE l.id = %(letter_id)s
    UNION
    SELECT o.replay_of FROM chain c JOIN afresh.job_option o ON o.job_id = c.job_id WHERE o.replay_of IS NOT NULL
)
SELECT c.job_id, j.state, j.attempts, j.created_at, j.ended_at
FROM chain c LEFT JOIN LATERAL (SELECT * FROM afresh.jobs v WHERE v.id = c.job_id OFFSET 0) j ON true
ORDER BY c.job_id;

-- name: list_letters
-- One page, newest first.
SELECT id, job_id, status::text AS status, cause::text AS cause, task_name, queue_name AS queue, priority, dependency,
       attempts, failure_type, fingerprint, exception_type, message, remediation, reason, first_died_at, died_at,
       died_as, replays, replayed_as, bulk_id, changed_at, note
FROM afresh.dead_letter l
WHERE (%(before)s::bigint IS NULL OR l.id < %(before)s::bigint)
/* filters */
ORDER BY l.id DESC
LIMIT %(limit)s::integer OFFSET %(offset)s::integer;

-- name: count_letters
-- How many letters a filter lets through, counted up to a limit.
SELECT count(*) AS total
FROM (
    SELECT
    FROM afresh.dead_letter l
    WHERE true
    /* filters */
    LIMIT %(most)s::integer
) AS counted;

-- name: estimate_letters
-- How many letters the planner expects; its first node says so.
EXPLAIN (FORMAT JSON)
SELECT
FROM afresh.dead_letter l
WHERE true
/* filters */;

-- name: search_letters
-- Of the newest letters that the other filters let through, so many at most: which ones fit, and where it stopped.
SELECT count(*) AS looked_at, min(l.id) AS last,
       coalesce(array_agg(l.id ORDER BY l.id DESC) FILTER (WHERE true /* searched */), '{}') AS found
FROM (
    SELECT * FROM afresh.dead_letter l
    WHERE (%(before)s::bigint IS NULL OR l.id < %(before)s::bigint)
    /* filters */
    ORDER BY l.id DESC
    LIMIT %(searched)s::integer
) AS l;

-- name: sum_letters
-- How many letters there are by one of their properties and status, most first; from the counts, never from the letters.
SELECT /* property */ AS name, status::text AS status, sum(letters)::bigint AS letters
FROM afresh.dead_letter_count
WHERE %(since)s::date IS NULL OR died_on >= %(since)s::date
GROUP BY 1, 2
HAVING sum(letters) <> 0
ORDER BY 3 DESC, 1, 2;

-- name: count_pending
-- How many letters wait.
SELECT greatest(0, coalesce(sum(letters), 0))::bigint FROM afresh.dead_letter_count WHERE status = 'pending';

-- name: find_oldest
-- Since when the oldest pending letter has been one.
SELECT first_died_at FROM afresh.dead_letter WHERE status = 'pending' ORDER BY id LIMIT 1;

-- name: fold_counts
-- Add up the differences of each kind.
WITH gone AS (
    DELETE FROM afresh.dead_letter_count WHERE NOT folded
    RETURNING died_on, status, cause, task_name, failure_type, remediation, letters
)
INSERT INTO afresh.dead_letter_count AS c (
    died_on, status, cause, task_name, failure_type, remediation, letters, folded
)
SELECT died_on, status, cause, task_name, failure_type, remediation, sum(letters), true
FROM gone
GROUP BY died_on, status, cause, task_name, failure_type, remediation
HAVING sum(letters) <> 0
ORDER BY died_on, status, cause, task_name, failure_type, remediation
ON CONFLICT (died_on, status, cause, task_name, failure_type, remediation) WHERE folded
DO UPDATE SET letters = c.letters + excluded.letters;

-- name: settle_strays
-- Letters whose job in their place has ended without their knowledge: triggers were off, or a table was truncated.
WITH strays AS (
    SELECT l.id, j.status
    FROM afresh.dead_letter l LEFT JOIN procrastinate_jobs j ON j.id = l.replayed_as
    WHERE l.status = 'retrying' AND (j.id IS NULL OR j.status NOT IN ('todo', 'doing'))
    ORDER BY l.id LIMIT %(limit)s
    FOR UPDATE OF l SKIP LOCKED
)
UPDATE afresh.dead_letter l
SET status = CASE WHEN s.status = 'succeeded' THEN 'resolved' ELSE 'pending' END::afresh.dead_letter_status,
    changed_at = now()
FROM strays s
WHERE l.id = s.id AND l.status = 'retrying'
RETURNING l.id;

-- name: replay_letter
-- A fresh job in the place of the one that died: the same in all but what is changed, its attempts at zero.
WITH letter AS (SELECT * FROM afresh.dead_letter WHERE id = %(letter_id)s),
job AS (
    INSERT INTO procrastinate_jobs (
        queue_name, task_name, priority, lock, queueing_lock, args, scheduled_at, afresh_dependency, afresh_letter
    )
    SELECT coalesce(%(queue)s::text, l.queue_name), l.task_name, coalesce(%(priority)s::integer, l.priority), l.lock,
           l.queueing_lock, coalesce(%(args)s::jsonb, l.args), %(run_at)s::timestamptz,
           coalesce(%(dependency)s::text, l.dependency), l.id
    FROM letter l
    RETURNING id
),
option AS (
    INSERT INTO afresh.job_option (
        job_id, max_retries, timeout, task_type, correlation_id, metadata, submitted_by, cost, replay_of
    )
    SELECT job.id, o.max_retries, o.timeout, o.task_type, o.correlation_id, o.metadata, o.submitted_by, o.cost,
           coalesce(l.replayed_as, l.job_id)
    FROM job CROSS JOIN letter l LEFT JOIN afresh.job_option o ON o.job_id = coalesce(l.replayed_as, l.job_id)
),
moved AS (
    UPDATE afresh.dead_letter d
    SET status = 'retrying', replays = d.replays + 1, replayed_as = job.id, bulk_id = NULL, changed_at = now(),
        note = NULL
    FROM job
    WHERE d.id = %(letter_id)s
)
SELECT id FROM job;

-- name: abandon_letter
-- Give a letter up.
UPDATE afresh.dead_letter
SET status = 'abandoned', note = %(note)s, bulk_id = NULL, changed_at = now()
WHERE id = %(letter_id)s;

-- name: claim_key
-- Let an Idempotency-Key stand for a replay. The caller holds the letter, and has found the key free.
INSERT INTO afresh.idempotency AS i (actor, route, key, body_hash, job_id, expires_at)
VALUES (%(actor)s, %(route)s, %(key)s, %(body_hash)s, %(job_id)s, now() + %(ttl)s::interval)
ON CONFLICT (actor, route, key) DO UPDATE
SET body_hash = excluded.body_hash, job_id = excluded.job_id, batch_id = NULL, repeats = 0, claimed_at = now(),
    expires_at = excluded.expires_at;
