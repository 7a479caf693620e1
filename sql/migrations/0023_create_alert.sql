-- Alerts: what is wrong, since when, because of what, and what to do. Which conditions there are is data of the code
-- (app/monitoring/alerts/rules.py); here is what has become of them.
--
--   condition holds ──► alert_watch: since when ──► alert, open ──► condition is over for long enough ──► resolved
--                                                      │                                                   │
--                                                      └────────► alert_event ◄────────────────────────────┘
--                                                                     │ at most one a minute and rule
--                                                                alert_message ──► one job for each address

-- The one row of this table is held by whoever evaluates, so that two of them never do at once.
CREATE TABLE afresh.monitoring (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    evaluated_at timestamptz,
    stopped_at timestamptz,
    stopped_until timestamptz,
    stopped_by text,
    stopped_because text,
    CONSTRAINT monitoring_stopped_by_somebody CHECK (
        num_nulls(stopped_at, stopped_until, stopped_by, stopped_because) IN (0, 4)
    )
);

COMMENT ON COLUMN afresh.monitoring.stopped_until IS 'Until then nothing is sampled and nobody is told; then it goes on by itself.';

INSERT INTO afresh.monitoring DEFAULT VALUES;

CREATE TABLE afresh.alert (
    id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    rule text NOT NULL,
    subject text NOT NULL,
    severity text NOT NULL CHECK (severity IN ('info', 'warning', 'critical')),
    opened_at timestamptz NOT NULL,
    resolved_at timestamptz CHECK (resolved_at >= opened_at),
    changed_at timestamptz NOT NULL,
    value double precision NOT NULL,
    threshold double precision NOT NULL,
    cause text NOT NULL,
    what_to_do text NOT NULL
);

COMMENT ON COLUMN afresh.alert.severity IS 'The present one, or the last one before it was resolved.';
COMMENT ON COLUMN afresh.alert.subject IS 'What it is about: a task, a queue, a dependency, a host …; empty: the service.';

CREATE UNIQUE INDEX alert_open_idx ON afresh.alert (rule, subject) WHERE resolved_at IS NULL;
CREATE INDEX alert_rule_idx ON afresh.alert (rule, id);
CREATE INDEX alert_resolved_idx ON afresh.alert (resolved_at) WHERE resolved_at IS NOT NULL;

-- Levels of a rule that are not at rest: in force, about to be, or about to be over. All others have no row.
CREATE TABLE afresh.alert_watch (
    rule text NOT NULL,
    subject text NOT NULL,
    severity text NOT NULL,
    active boolean NOT NULL,
    since timestamptz,
    PRIMARY KEY (rule, subject, severity),
    CONSTRAINT alert_watch_is_not_at_rest CHECK (active OR since IS NOT NULL)
);

COMMENT ON COLUMN afresh.alert_watch.since IS 'Since when the condition says otherwise than `active`; null: it does not.';

CREATE TABLE afresh.alert_message (
    id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    rule text NOT NULL,
    severity text NOT NULL,
    title text NOT NULL,
    body text NOT NULL,
    made_at timestamptz NOT NULL
);

CREATE INDEX alert_message_rule_idx ON afresh.alert_message (rule, made_at);

CREATE TABLE afresh.alert_event (
    id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    alert_id bigint NOT NULL REFERENCES afresh.alert ON DELETE CASCADE,
    rule text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('opened', 'escalated', 'eased', 'resolved', 'milestone')),
    severity text NOT NULL,
    at timestamptz NOT NULL,
    line text NOT NULL,
    what_to_do text NOT NULL,
    message_id bigint
);

COMMENT ON COLUMN afresh.alert_event.message_id IS 'The message that tells it; null: it is still to be told. It outlives that.';

CREATE INDEX alert_event_alert_idx ON afresh.alert_event (alert_id, id);
CREATE INDEX alert_event_untold_idx ON afresh.alert_event (rule, id) WHERE message_id IS NULL;
CREATE INDEX alert_event_message_idx ON afresh.alert_event (message_id) WHERE message_id IS NOT NULL;

CREATE TABLE afresh.milestone (
    name text PRIMARY KEY,
    reached double precision NOT NULL,
    reached_at timestamptz NOT NULL
);

COMMENT ON TABLE afresh.milestone IS 'The highest that was told of each count, so that none is told twice.';
