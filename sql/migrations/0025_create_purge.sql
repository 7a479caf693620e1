-- Forgetting what is over. Nothing here decides what is kept how long: every function is told. Each takes rows in the
-- order of their ids, from where the caller has come to, and says how far it came, so that what has to stay is not
-- looked at twice in a run; and it skips what somebody else holds, so that it waits for nobody.
--
-- What belongs to a job goes with its row, whoever deletes that (afresh.forget_belongings). What tells of it, its
-- attempts, its progress and its dead letter, has a time of its own.
--
-- A job stays, however old, while it has not ended, while another job of its batch has not, and while the bulk action
-- that brought it back still runs. A dead letter stays until it is resolved or abandoned, and with it the options that
-- a replay needs. An attempt stays while its job has not ended, and until it is folded (migration 0016).
--
-- Lock order: jobs by id, before what belongs to them; letters by id.

-- Who is at it, so that there is one purge at a time over all workers; and what the last one did.
CREATE TABLE afresh.purge (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    holder uuid,
    held_until timestamptz NOT NULL DEFAULT 'epoch',
    began_at timestamptz,
    ended_at timestamptz,
    removed jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(removed) = 'object')
);

COMMENT ON TABLE afresh.purge IS 'A lease: a purge that died is succeeded once that has run out.';
COMMENT ON COLUMN afresh.purge.removed IS 'Rows that the last purge removed so far, such as {"jobs": 1200}.';
COMMENT ON COLUMN afresh.purge.ended_at IS 'Null: it is at work, or it died.';

INSERT INTO afresh.purge DEFAULT VALUES;

-- Take the lease, or keep it; false: somebody else has it.
CREATE FUNCTION afresh.hold_purge(p_holder uuid, p_seconds double precision, p_removed jsonb) RETURNS boolean
LANGUAGE plpgsql
AS $$
BEGIN
    INSERT INTO afresh.purge DEFAULT VALUES ON CONFLICT DO NOTHING;
    UPDATE afresh.purge
    SET began_at = CASE WHEN holder IS DISTINCT FROM p_holder THEN clock_timestamp() ELSE began_at END,
        holder = p_holder, held_until = clock_timestamp() + make_interval(secs => p_seconds), ended_at = NULL,
        removed = p_removed
    WHERE holder IS NOT DISTINCT FROM p_holder OR held_until < clock_timestamp();
    RETURN FOUND;
END;
$$;

CREATE FUNCTION afresh.forget_belongings() RETURNS trigger
LANGUAGE plpgsql
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $$
DECLARE
    v_ids bigint[] := ARRAY(SELECT id FROM gone);
BEGIN
    DELETE FROM afresh.result WHERE job_id = ANY (v_ids);
    DELETE FROM afresh.rescue WHERE job_id = ANY (v_ids);
    DELETE FROM afresh.job_option o
    WHERE o.job_id = ANY (v_ids) AND NOT EXISTS (
        SELECT FROM afresh.dead_letter l
        WHERE l.status <> 'resolved'
          AND (l.job_id = o.job_id OR l.id = (SELECT g.afresh_letter FROM gone g WHERE g.id = o.job_id))
    );
    RETURN NULL;
END;
$$;

CREATE TRIGGER afresh_forget_belongings
AFTER DELETE ON procrastinate_jobs REFERENCING OLD TABLE AS gone
FOR EACH STATEMENT EXECUTE FUNCTION afresh.forget_belongings();

-- Look at the next p_most jobs between two ids, and remove those that ended before p_succeeded or, where they did not
-- succeed, before p_others; or whose id is below that of their status in p_keep, {"succeeded": 1000}, whatever their age.
-- Without an event that tells of the end, the latest event of any kind stands for it.
CREATE FUNCTION afresh.purge_jobs(
    p_after bigint, p_before bigint, p_most integer, p_succeeded timestamptz, p_others timestamptz, p_keep jsonb,
    OUT looked integer, OUT last bigint, OUT removed integer
)
LANGUAGE plpgsql
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    v_due bigint[];
BEGIN
    -- A crash that takes this back does no harm, so nobody waits for the disk.
    PERFORM set_config('synchronous_commit', 'off', true);

    WITH next AS MATERIALIZED (
        SELECT j.id, j.status::text AS status, j.afresh_letter
        FROM procrastinate_jobs j
        WHERE j.id > p_after AND j.id < p_before
        ORDER BY j.id LIMIT p_most
    ),
    due AS (
        SELECT n.id
        FROM next n
        CROSS JOIN LATERAL (
            SELECT coalesce(
                       max(e.at) FILTER (WHERE e.type IN ('succeeded', 'failed', 'cancelled', 'aborted')),
                       max(e.at) FILTER (WHERE e.type <> 'scheduled'), '-infinity') AS at
            FROM procrastinate_events e WHERE e.job_id = n.id
        ) ended
        WHERE n.status IN ('succeeded', 'failed', 'cancelled', 'aborted')
          AND (ended.at < CASE n.status WHEN 'succeeded' THEN p_succeeded ELSE p_others END
               OR n.id < (p_keep ->> n.status)::bigint)
          AND NOT EXISTS (SELECT FROM afresh.job_option o
                          WHERE o.job_id = n.id AND o.batch_id IS NOT NULL AND afresh.batch_goes_on(o.batch_id))
          AND (n.afresh_letter IS NULL OR NOT afresh.bulk_goes_on(
                  (SELECT l.bulk_id FROM afresh.dead_letter l WHERE l.id = n.afresh_letter)))
    )
    SELECT (SELECT count(*) FROM next), (SELECT max(n.id) FROM next n), ARRAY(SELECT d.id FROM due d ORDER BY d.id)
    INTO looked, last, v_due;

    v_due := ARRAY(
        SELECT j.id FROM procrastinate_jobs j
        WHERE j.id = ANY (v_due) AND j.status::text IN ('succeeded', 'failed', 'cancelled', 'aborted')
        ORDER BY j.id FOR UPDATE SKIP LOCKED
    );
    removed := cardinality(v_due);
    IF removed > 0 THEN
        -- The foreign key would do it row by row.
        DELETE FROM procrastinate_events e WHERE e.job_id = ANY (v_due);
        -- The last tick of a task that is not periodic any more still names its job.
        UPDATE procrastinate_periodic_defers d SET job_id = NULL WHERE d.job_id = ANY (v_due);
        DELETE FROM procrastinate_jobs j WHERE j.id = ANY (v_due);
    END IF;
END;
$$;

-- Whether a job of the batch has not ended. Its jobs' ids lie close together, and few jobs in that stretch are alive.
CREATE FUNCTION afresh.batch_goes_on(p_batch bigint) RETURNS boolean
LANGUAGE plpgsql STABLE
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $$
DECLARE
    v_first bigint := (SELECT min(job_id) FROM afresh.job_option WHERE batch_id = p_batch);
    v_last bigint := (SELECT max(job_id) FROM afresh.job_option WHERE batch_id = p_batch);
BEGIN
    RETURN EXISTS (
        SELECT FROM (
            SELECT id FROM procrastinate_jobs
            WHERE id BETWEEN v_first AND v_last AND status IN ('todo', 'doing')
            OFFSET 0
        ) alive
        WHERE (SELECT o.batch_id FROM afresh.job_option o WHERE o.job_id = alive.id) = p_batch
    );
END;
$$;

-- Whether a bulk action has not ended, and something runs it; null: there is none.
CREATE FUNCTION afresh.bulk_goes_on(p_bulk bigint) RETURNS boolean
LANGUAGE sql STABLE
RETURN EXISTS (
    SELECT FROM afresh.bulk b JOIN procrastinate_jobs j ON j.id = b.job_id
    WHERE b.id = p_bulk AND b.outcome IS NULL AND j.status IN ('todo', 'doing')
);

-- Of the newest p_count jobs of a status, the lowest id; null: there are fewer.
CREATE FUNCTION afresh.oldest_kept(p_status procrastinate_job_status, p_count bigint) RETURNS bigint
LANGUAGE plpgsql STABLE
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_sort = off
SET plan_cache_mode = force_custom_plan
AS $$
BEGIN
    RETURN (SELECT id FROM procrastinate_jobs WHERE status = p_status ORDER BY id DESC OFFSET p_count - 1 LIMIT 1);
END;
$$;

-- Look at the next p_most letters, and remove those that were resolved or abandoned before p_before, with the options
-- of jobs of theirs that are gone.
CREATE FUNCTION afresh.purge_letters(
    p_after bigint, p_most integer, p_before timestamptz, OUT looked integer, OUT last bigint, OUT removed integer
)
LANGUAGE plpgsql
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $$
DECLARE
    v_due bigint[];
    v_jobs bigint[];
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    WITH next AS MATERIALIZED (
        SELECT l.id, l.status, l.changed_at, l.bulk_id
        FROM afresh.dead_letter l WHERE l.id > p_after ORDER BY l.id LIMIT p_most
    )
    SELECT count(*), max(n.id), array_agg(n.id) FILTER (
        WHERE n.status IN ('resolved', 'abandoned') AND n.changed_at < p_before AND NOT afresh.bulk_goes_on(n.bulk_id))
    FROM next n
    INTO looked, last, v_due;

    v_due := ARRAY(
        SELECT l.id FROM afresh.dead_letter l
        WHERE l.id = ANY (v_due) AND l.status IN ('resolved', 'abandoned') AND l.changed_at < p_before
        ORDER BY l.id FOR UPDATE SKIP LOCKED
    );
    removed := cardinality(v_due);
    IF removed > 0 THEN
        WITH RECURSIVE chain AS (
            SELECT coalesce(l.replayed_as, l.job_id) AS job_id FROM afresh.dead_letter l WHERE l.id = ANY (v_due)
            UNION
            SELECT o.replay_of FROM chain c JOIN afresh.job_option o ON o.job_id = c.job_id
            WHERE o.replay_of IS NOT NULL
        )
        SELECT array_agg(c.job_id) FROM chain c
        WHERE NOT EXISTS (SELECT FROM procrastinate_jobs j WHERE j.id = c.job_id)
        INTO v_jobs;
        DELETE FROM afresh.job_option o WHERE o.job_id = ANY (v_jobs);
        DELETE FROM afresh.dead_letter l WHERE l.id = ANY (v_due);
    END IF;
END;
$$;

-- Look at the next p_most attempts, and remove those that ended before p_before, as far as nobody needs them. `last` is
-- null once they are younger than that.
CREATE FUNCTION afresh.purge_attempts(
    p_after bigint, p_most integer, p_before timestamptz, OUT looked integer, OUT last bigint, OUT removed integer
)
LANGUAGE plpgsql
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $$
DECLARE
    v_due bigint[];
    v_old bigint;
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    WITH next AS MATERIALIZED (
        SELECT a.id, a.job_id, a.ended_at FROM afresh.attempt a
        WHERE a.id > p_after AND a.id <= (SELECT f.folded_id FROM afresh.failure_fold f)
        ORDER BY a.id LIMIT p_most
    )
    SELECT count(*), max(n.id), count(*) FILTER (WHERE n.ended_at < p_before),
           array_agg(n.id) FILTER (WHERE n.ended_at < p_before AND NOT EXISTS (
               SELECT FROM procrastinate_jobs j WHERE j.id = n.job_id AND j.status::text IN ('todo', 'doing')
           ) AND n.job_id <> ALL (ARRAY(SELECT r.job_id FROM afresh.recovery r)))
    FROM next n
    INTO looked, last, v_old, v_due;
    DELETE FROM afresh.attempt a WHERE a.id = ANY (v_due);
    GET DIAGNOSTICS removed = ROW_COUNT;
    IF v_old = 0 THEN
        last := NULL;
    END IF;
END;
$$;
