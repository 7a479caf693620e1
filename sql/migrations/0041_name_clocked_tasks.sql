-- The names that afresh.is_clocked knows, for whoever looks for the jobs of these tasks one by one.

CREATE FUNCTION afresh.clocked_tasks() RETURNS text[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN '{
    app.tasks.analytics.refresh_retry_statistics, app.tasks.analytics.report_retries,
    app.tasks.maintenance.bury_overdue, app.tasks.maintenance.expire_idempotency_keys, app.tasks.maintenance.fold_failures,
    app.tasks.maintenance.purge_gone_workers, app.tasks.maintenance.purge_old_jobs,
    app.tasks.maintenance.retry_stalled_jobs, app.tasks.maintenance.tend_breakers,
    app.tasks.maintenance.tend_dead_letters, app.tasks.monitoring.evaluate_alerts, app.tasks.monitoring.forget_samples,
    app.tasks.monitoring.sample_performance, app.tasks.monitoring.send_alert
}'::text[];

CREATE OR REPLACE FUNCTION afresh.is_clocked(p_task_name text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN p_task_name = ANY (afresh.clocked_tasks());
