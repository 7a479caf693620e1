-- Alerts: what they are judged by, what has become of them, and the maintenance window.

-- name: have_monitoring
-- Make the one row of monitoring where somebody has deleted it.
INSERT INTO afresh.monitoring DEFAULT VALUES ON CONFLICT DO NOTHING;

-- name: lock_monitoring
-- The one row of monitoring, for whoever evaluates; no row: somebody else does.
SELECT evaluated_at, stopped_at, stopped_until, stopped_by, stopped_because
FROM afresh.monitoring
FOR UPDATE SKIP LOCKED;

-- name: read_monitoring
-- When alerts were evaluated last, and whether monitoring is stopped.
SELECT evaluated_at, stopped_at, stopped_until, stopped_by, stopped_because
FROM afresh.monitoring;

-- name: note_evaluation
-- When alerts were evaluated.
UPDATE afresh.monitoring SET evaluated_at = %(now)s;

-- name: stop_monitoring
-- Sample nothing and tell nobody until a time; one that is stopped already is stopped anew.
INSERT INTO afresh.monitoring AS m (stopped_at, stopped_until, stopped_by, stopped_because)
VALUES (now(), %(until)s, %(actor)s, %(reason)s)
ON CONFLICT (singleton) DO UPDATE
SET stopped_at = now(), stopped_until = excluded.stopped_until, stopped_by = excluded.stopped_by,
    stopped_because = excluded.stopped_because;

-- name: start_monitoring
-- Go on; no row: it was not stopped. When it ended stays: what came before is not judged.
UPDATE afresh.monitoring SET stopped_until = %(now)s WHERE stopped_until > %(now)s
RETURNING singleton;

-- name: find_open_breakers
-- Dependencies that are not called, though nobody isolated them.
SELECT name, state, changed_at, cause FROM afresh.breaker WHERE state IN ('open', 'half_open', 'held') ORDER BY name;

-- name: find_restless_groups
-- Failure groups that are new or have come back, and that somebody should look at. In an order that does not change
-- while they go on failing: what is beyond the limit stays beyond it. Since when a group
-- has been back is not stored: it is as long as it is met.
SELECT g.fingerprint, g.failure_type, g.exception_type, g.message, g.tasks, g.failures, g.first_seen, g.last_seen,
       g.status
FROM afresh.failure_groups g
WHERE g.last_seen >= %(quiet_since)s
  AND (g.status = 'regression' OR g.status = 'open' AND g.first_seen >= %(new_since)s)
ORDER BY g.first_seen, g.fingerprint
LIMIT %(most)s;

-- name: list_watches
-- Levels of rules that are not at rest.
SELECT rule, subject, severity, active, since FROM afresh.alert_watch;

-- name: keep_watches
-- Replace them by these.
WITH given AS (
    SELECT * FROM unnest(
        %(rules)s::text[], %(subjects)s::text[], %(severities)s::text[], %(active)s::boolean[],
        %(since)s::timestamptz[]
    ) AS g (rule, subject, severity, active, since)
),
gone AS (
    DELETE FROM afresh.alert_watch w
    WHERE NOT EXISTS (SELECT FROM given g
                      WHERE g.rule = w.rule AND g.subject = w.subject AND g.severity = w.severity)
)
INSERT INTO afresh.alert_watch AS w (rule, subject, severity, active, since)
SELECT rule, subject, severity, active, since FROM given
ON CONFLICT (rule, subject, severity) DO UPDATE SET active = excluded.active, since = excluded.since
WHERE (w.active, w.since) IS DISTINCT FROM (excluded.active, excluded.since);

-- name: open_alert
-- An alert that was not there; one that is open already takes over what is said now.
INSERT INTO afresh.alert AS a (
    rule, subject, severity, opened_at, resolved_at, changed_at, value, threshold, cause, what_to_do
)
VALUES (%(rule)s, %(subject)s, %(severity)s, %(at)s, %(resolved_at)s, %(at)s, %(value)s, %(threshold)s, %(cause)s,
        %(what_to_do)s)
ON CONFLICT (rule, subject) WHERE resolved_at IS NULL DO UPDATE
SET severity = excluded.severity, changed_at = excluded.changed_at, value = excluded.value,
    threshold = excluded.threshold, cause = excluded.cause, what_to_do = excluded.what_to_do
RETURNING id, opened_at;

-- name: change_alert
-- Another severity, or the end.
UPDATE afresh.alert
SET severity = %(severity)s, changed_at = %(at)s, resolved_at = %(resolved_at)s,
    value = coalesce(%(value)s, value), threshold = coalesce(%(threshold)s, threshold),
    cause = coalesce(%(cause)s, cause)
WHERE rule = %(rule)s AND subject = %(subject)s AND resolved_at IS NULL
RETURNING id, opened_at;

-- name: update_alerts
-- The present numbers of alerts that are open.
UPDATE afresh.alert a
SET value = g.value, cause = g.cause
FROM unnest(%(rules)s::text[], %(subjects)s::text[], %(values)s::double precision[], %(causes)s::text[])
     AS g (rule, subject, value, cause)
WHERE a.rule = g.rule AND a.subject = g.subject AND a.resolved_at IS NULL
  AND (a.value, a.cause) IS DISTINCT FROM (g.value, g.cause);

-- name: add_event
-- What has happened to an alert, still to be told.
INSERT INTO afresh.alert_event (alert_id, rule, kind, severity, at, line, what_to_do)
VALUES (%(alert_id)s, %(rule)s, %(kind)s, %(severity)s, %(at)s, %(line)s, %(what_to_do)s);

-- name: find_untold
-- What is still to be told of rules of which nothing was told for a minute.
SELECT e.id, e.rule, e.kind, e.severity, e.at, e.line, e.what_to_do
FROM afresh.alert_event e
WHERE e.message_id IS NULL
  AND NOT EXISTS (SELECT FROM afresh.alert_message m
                  WHERE m.rule = e.rule AND m.made_at > %(now)s::timestamptz - interval '1 minute')
ORDER BY e.rule, e.id
LIMIT %(most)s
FOR UPDATE OF e;

-- name: add_message
-- A message that tells these events.
WITH made AS (
    INSERT INTO afresh.alert_message (rule, severity, title, body, made_at)
    VALUES (%(rule)s, %(severity)s, %(title)s, %(body)s, %(now)s)
    RETURNING id
),
told AS (
    UPDATE afresh.alert_event e SET message_id = made.id FROM made WHERE e.id = ANY (%(events)s::bigint[])
)
SELECT id FROM made;

-- name: find_message
-- A message.
SELECT rule, severity, title, body, made_at FROM afresh.alert_message WHERE id = %(message_id)s;

-- name: add_delivery
-- The job that sends a message to an address.
INSERT INTO afresh.alert_delivery (message_id, channel, job_id) VALUES (%(message_id)s, %(channel)s, %(job_id)s);

-- name: take_delivery
-- A message that is still to be sent to an address, whose job nobody else has while this transaction lasts.
SELECT d.job_id, d.channel, m.severity, m.title, m.body
FROM afresh.alert_message m
JOIN afresh.alert_delivery d ON d.message_id = m.id
JOIN procrastinate_jobs j ON j.id = d.job_id
WHERE m.made_at > now() - %(sending)s::interval AND j.status::text = 'todo' AND NOT j.abort_requested
  AND j.id <> ALL (%(tried)s::bigint[])
ORDER BY m.id, d.channel
LIMIT 1
FOR UPDATE OF j SKIP LOCKED;

-- name: begin_delivery
-- Its job runs; nobody sees it do so, for the same transaction ends it.
UPDATE procrastinate_jobs SET status = 'doing' WHERE id = %(job_id)s;

-- name: end_delivery
-- It was sent.
UPDATE procrastinate_jobs SET status = 'succeeded', attempts = attempts + 1 WHERE id = %(job_id)s;

-- name: list_messages
-- The newest messages, each with what became of it at every address; no state: its job is not kept any more.
SELECT m.id, m.rule, m.severity, m.title, m.body, m.made_at,
       coalesce(jsonb_agg(jsonb_build_object(
           'channel', d.channel, 'job_id', d.job_id, 'state', j.state, 'attempts', coalesce(j.attempts, 0),
           'next_run_at', CASE WHEN j.state IN ('scheduled', 'retrying') THEN j.scheduled_at END,
           'ended_at', j.ended_at, 'reason', CASE WHEN j.state <> 'succeeded' THEN j.last_message END
       ) ORDER BY d.channel) FILTER (WHERE d.channel IS NOT NULL), '[]') AS deliveries
FROM (SELECT * FROM afresh.alert_message ORDER BY id DESC LIMIT %(most)s) m
LEFT JOIN afresh.alert_delivery d ON d.message_id = m.id
LEFT JOIN LATERAL (SELECT * FROM afresh.jobs v WHERE v.id = d.job_id OFFSET 0) j ON true
GROUP BY m.id, m.rule, m.severity, m.title, m.body, m.made_at
ORDER BY m.id DESC;

-- name: list_milestones
-- The highest that was told of each count.
SELECT name, reached FROM afresh.milestone;

-- name: keep_milestone
-- A milestone that is told now; no row: it was told already.
INSERT INTO afresh.milestone AS m (name, reached, reached_at) VALUES (%(name)s, %(reached)s, %(now)s)
ON CONFLICT (name) DO UPDATE SET reached = excluded.reached, reached_at = excluded.reached_at
WHERE m.reached < excluded.reached
RETURNING name;

-- name: count_open
-- Alerts that are open, by severity.
SELECT severity, count(*) AS alerts FROM afresh.alert WHERE resolved_at IS NULL GROUP BY severity;

-- name: list_open
-- The worst alerts that are open, those that opened last first.
SELECT id, rule, subject, severity, opened_at, cause, what_to_do
FROM afresh.alert
WHERE resolved_at IS NULL AND (%(severity)s::text IS NULL OR severity = %(severity)s::text)
ORDER BY severity = 'critical' DESC, severity = 'warning' DESC, id DESC
LIMIT %(most)s;

-- name: list_alerts
-- One page, newest first.
SELECT id, rule, subject, severity, opened_at, resolved_at, changed_at, value, threshold, cause, what_to_do
FROM afresh.alert
WHERE (%(before)s::bigint IS NULL OR id < %(before)s::bigint)
/* filters */
ORDER BY id DESC
LIMIT %(limit)s::integer OFFSET %(offset)s::integer;

-- name: count_alerts
-- How many alerts a filter lets through, counted up to a limit.
SELECT count(*) AS total
FROM (
    SELECT
    FROM afresh.alert
    WHERE true
    /* filters */
    LIMIT %(most)s::integer
) AS counted;

-- name: estimate_alerts
-- How many alerts the planner expects; its first node says so.
EXPLAIN (FORMAT JSON)
SELECT
FROM afresh.alert
WHERE true
/* filters */;

-- name: list_events
-- What has happened to these alerts.
SELECT alert_id, kind, severity, at, line FROM afresh.alert_event WHERE alert_id = ANY (%(ids)s::bigint[]) ORDER BY id;

-- name: forget_alerts
-- Alerts that were resolved long ago, with what happened to them.
DELETE FROM afresh.alert WHERE id IN (
    SELECT id FROM afresh.alert WHERE resolved_at < now() - %(kept)s::interval LIMIT %(most)s
);

-- name: forget_messages
-- Messages that were made long ago.
DELETE FROM afresh.alert_message WHERE id IN (
    SELECT id FROM afresh.alert_message WHERE made_at < now() - %(kept)s::interval ORDER BY id LIMIT %(most)s
);
