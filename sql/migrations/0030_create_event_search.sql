-- An id before which no event happened at p_at or later, as afresh.first_job_since finds one of a job: by halves, so that
-- no success pays for an index of times. The caller leaves room for transactions that were open for long.
CREATE FUNCTION afresh.first_event_since(p_at timestamptz) RETURNS bigint
LANGUAGE plpgsql STABLE
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
DECLARE
    v_low bigint;
    v_high bigint;
    v_middle bigint;
    v_id bigint;
    v_at timestamptz;
BEGIN
    SELECT min(id), max(id) + 1 FROM procrastinate_events INTO v_low, v_high;
    WHILE v_low < v_high LOOP
        v_middle := v_low + (v_high - v_low) / 2;
        -- "scheduled" has the time that is meant, not that of its writing.
        SELECT e.id, e.at FROM procrastinate_events e
        WHERE e.id >= v_middle AND e.id < v_high AND e.type <> 'scheduled' AND e.at IS NOT NULL
        ORDER BY e.id LIMIT 1
        INTO v_id, v_at;
        IF v_id IS NULL OR v_at >= p_at THEN
            v_high := v_middle;
        ELSE
            v_low := v_id + 1;
        END IF;
    END LOOP;
    RETURN v_low;
END;
$$;
