-- What the clock defers for the service itself, some seven thousand jobs a day, counted as everybody's work: where two
-- jobs ran and both failed, the summary said that nearly all had succeeded.

-- Tasks of ours that the clock defers, and what they defer. Nobody has handed their jobs in, and their success says
-- nothing of anybody's work. The same as in app/monitoring/alerts/clocked.py.
CREATE FUNCTION afresh.is_clocked(p_task_name text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN p_task_name = ANY ('{
    app.tasks.analytics.refresh_retry_statistics, app.tasks.analytics.report_retries,
    app.tasks.maintenance.bury_overdue, app.tasks.maintenance.expire_idempotency_keys, app.tasks.maintenance.fold_failures,
    app.tasks.maintenance.purge_gone_workers, app.tasks.maintenance.purge_old_jobs,
    app.tasks.maintenance.retry_stalled_jobs, app.tasks.maintenance.tend_breakers,
    app.tasks.maintenance.tend_dead_letters, app.tasks.monitoring.evaluate_alerts, app.tasks.monitoring.forget_samples,
    app.tasks.monitoring.sample_performance, app.tasks.monitoring.send_alert
}'::text[]);

COMMENT ON FUNCTION afresh.is_clocked IS 'Whether a task is one that the clock runs for the service itself.';
COMMENT ON COLUMN afresh.service_sample.submitted IS 'Of all tasks together but those that the clock runs for the service itself; so are the next ones (see afresh.task_sample).';

-- As in 0034, without what the clock runs.
CREATE OR REPLACE FUNCTION afresh.sum_service(p_seconds integer, p_since timestamptz, p_until timestamptz) RETURNS void
LANGUAGE sql
AS $$
    UPDATE afresh.service_sample v
    SET submitted = t.submitted, succeeded = t.succeeded, failed = t.failed, retried = t.retried, buried = t.buried,
        snoozed = t.snoozed, lost = t.lost, spent = t.spent, longest = t.longest, durations = t.durations
    FROM (
        SELECT at, sum(submitted) AS submitted, sum(succeeded) AS succeeded, sum(failed) AS failed,
               sum(retried) AS retried, sum(buried) AS buried, sum(snoozed) AS snoozed, sum(lost) AS lost,
               sum(spent) AS spent, max(longest) AS longest,
               ARRAY[sum(durations[1]), sum(durations[2]), sum(durations[3]), sum(durations[4]), sum(durations[5]),
               sum(durations[6]), sum(durations[7]), sum(durations[8]), sum(durations[9]), sum(durations[10]),
               sum(durations[11]), sum(durations[12]), sum(durations[13]), sum(durations[14]),
               sum(durations[15])]::bigint[] AS durations
        FROM afresh.task_sample
        WHERE seconds = p_seconds AND at >= p_since AND at < p_until AND NOT afresh.is_clocked(task_name)
        GROUP BY at
    ) t
    WHERE v.seconds = p_seconds AND v.at = t.at
$$;

-- What is there already; where nothing but the clock ran, that is nothing.
UPDATE afresh.service_sample
SET submitted = 0, succeeded = 0, failed = 0, retried = 0, buried = 0, snoozed = 0, lost = 0, spent = 0, longest = 0,
    durations = '{}';
SELECT afresh.sum_service(seconds, '-infinity', 'infinity') FROM unnest(ARRAY[60, 3600, 86400]) AS seconds;
