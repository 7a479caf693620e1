-- Who changed what, on what, and why: a row for every action that changes state, written with the change itself.

CREATE TABLE afresh.audit (
    id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    at timestamptz NOT NULL DEFAULT now(),
    actor text NOT NULL,
    action text NOT NULL CHECK (action ~ '^[a-z_]+\.[a-z_]+$'),
    target text NOT NULL,
    reason text,
    details jsonb NOT NULL DEFAULT '{}'
);

COMMENT ON COLUMN afresh.audit.actor IS 'A key''s name; "local" without keys, "cli" at the command line, "ADMIN_API_KEY".';
COMMENT ON COLUMN afresh.audit.action IS 'noun.verb, such as queue.pause';

-- Most rows are submissions, and what somebody looks for is a rare one among them: each filter has its index, in the
-- order of the list. By time alone the primary key serves.
CREATE INDEX audit_actor_idx ON afresh.audit (actor, id);
CREATE INDEX audit_action_idx ON afresh.audit (action, id);
CREATE INDEX audit_target_idx ON afresh.audit (target, id);
