-- A dead letter is a piece of work that will not be tried again by itself. It is written with the failure that killed
-- its job, and it is written once: what a replay of it comes to is told by the letter itself.
--
--   pending ──► retrying ──► resolved      a job that runs in its place has succeeded
--      ▲  │         │
--      │  │         └──────► pending       … has died again, was cancelled, aborted or deleted
--      │  └────────────────► abandoned     by an operator, with a note; a replay of it is still possible
--
-- A letter that goes back to pending because a replay died takes over that failure, and the arguments of that job.
-- Both ways are linked: a letter names its first job and the newest, a job names its letter in afresh_letter, and
-- the job it replaces in afresh.job_option. Nothing is ever deleted by hand.

CREATE TYPE afresh.death_cause AS ENUM (
    'retries_spent', 'permanent', 'unknown_task', 'broken_strategy', 'worker_lost', 'waited_too_long'
);

CREATE TYPE afresh.dead_letter_status AS ENUM ('pending', 'retrying', 'resolved', 'abandoned');

CREATE TABLE afresh.dead_letter (
    id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    job_id bigint NOT NULL UNIQUE,
    status afresh.dead_letter_status NOT NULL DEFAULT 'pending',
    cause afresh.death_cause NOT NULL,
    task_name text NOT NULL,
    queue_name text NOT NULL,
    priority integer NOT NULL,
    args jsonb NOT NULL,
    lock text,
    queueing_lock text,
    dependency text,
    attempts integer NOT NULL,
    failure_type text,
    fingerprint text,
    exception_type text,
    message text,
    remediation text,
    reason text,
    first_died_at timestamptz NOT NULL,
    died_at timestamptz NOT NULL,
    died_as bigint NOT NULL,
    replays integer NOT NULL DEFAULT 0 CHECK (replays >= 0),
    replayed_as bigint,
    bulk_id bigint,
    changed_at timestamptz NOT NULL DEFAULT now(),
    note text,
    CONSTRAINT dead_letter_is_replayed_by_a_job CHECK (status NOT IN ('retrying', 'resolved') OR replayed_as IS NOT NULL),
    CONSTRAINT dead_letter_is_abandoned_with_a_note CHECK (status <> 'abandoned' OR note IS NOT NULL)
);

COMMENT ON COLUMN afresh.dead_letter.died_as IS 'The job whose end it tells: the first one, or a replay that died again.';
COMMENT ON COLUMN afresh.dead_letter.attempts IS 'Of that job, runs that counted.';
COMMENT ON COLUMN afresh.dead_letter.replayed_as IS 'The newest job in its place, whatever became of it.';
COMMENT ON COLUMN afresh.dead_letter.bulk_id IS 'The bulk action that replayed or abandoned it, if that was the last to touch it.';
COMMENT ON COLUMN afresh.dead_letter.changed_at IS 'When it came into its status.';
COMMENT ON COLUMN afresh.dead_letter.note IS 'Why it was abandoned.';

-- A list is filtered by one or two of these and shown by id, newest first.
CREATE INDEX dead_letter_status_idx ON afresh.dead_letter (status, id);
CREATE INDEX dead_letter_task_idx ON afresh.dead_letter (task_name, id);
CREATE INDEX dead_letter_queue_idx ON afresh.dead_letter (queue_name, id);
CREATE INDEX dead_letter_type_idx ON afresh.dead_letter (failure_type, id);
CREATE INDEX dead_letter_cause_idx ON afresh.dead_letter (cause, id);
CREATE INDEX dead_letter_fingerprint_idx ON afresh.dead_letter (fingerprint, id);
CREATE INDEX dead_letter_dependency_idx ON afresh.dead_letter (dependency, id) WHERE dependency IS NOT NULL;
CREATE INDEX dead_letter_died_idx ON afresh.dead_letter (died_at);
CREATE INDEX dead_letter_bulk_idx ON afresh.dead_letter (bulk_id, status, changed_at) WHERE bulk_id IS NOT NULL;
-- What waits of one group is looked for most, and a group has many letters that wait no more.
CREATE INDEX dead_letter_waiting_idx ON afresh.dead_letter (fingerprint, id) WHERE status = 'pending';

-- The letter follows its job wherever that ends: in a settlement, by an operator, by a plain cancel of Procrastinate's,
-- by anybody's DELETE. The mark is in the job's own row, so that the end of any other job asks one thing: is it null?
ALTER TABLE procrastinate_jobs ADD COLUMN afresh_letter bigint;

COMMENT ON COLUMN procrastinate_jobs.afresh_letter IS 'The dead letter in whose place this job runs; null: a job of its own.';

CREATE FUNCTION afresh.follow_replay() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    UPDATE afresh.dead_letter
    SET status = CASE WHEN TG_OP = 'UPDATE' AND NEW.status = 'succeeded' THEN 'resolved' ELSE 'pending' END
                     ::afresh.dead_letter_status,
        changed_at = now()
    WHERE id = OLD.afresh_letter AND replayed_as = OLD.id AND status = 'retrying';
    RETURN NULL;
END;
$$;

CREATE TRIGGER afresh_follow_replay
AFTER UPDATE OF status ON procrastinate_jobs FOR EACH ROW
WHEN (NEW.afresh_letter IS NOT NULL AND NEW.status IN ('succeeded', 'failed', 'cancelled', 'aborted'))
EXECUTE FUNCTION afresh.follow_replay();

CREATE TRIGGER afresh_follow_replay_gone
AFTER DELETE ON procrastinate_jobs FOR EACH ROW
WHEN (OLD.afresh_letter IS NOT NULL AND OLD.status IN ('todo', 'doing'))
EXECUTE FUNCTION afresh.follow_replay();

-- Procrastinate itself can put a failed job back: then it runs in the place of its own letter.
CREATE FUNCTION afresh.follow_revival() RETURNS trigger
LANGUAGE plpgsql
AS $$
DECLARE
    v_letter bigint;
BEGIN
    UPDATE afresh.dead_letter
    SET status = 'retrying', replays = replays + 1, replayed_as = NEW.id, bulk_id = NULL, changed_at = now()
    WHERE (id = NEW.afresh_letter OR job_id = NEW.id) AND status IN ('pending', 'abandoned')
    RETURNING id INTO v_letter;
    IF v_letter IS NOT NULL AND NEW.afresh_letter IS NULL THEN
        UPDATE procrastinate_jobs SET afresh_letter = v_letter WHERE id = NEW.id;
    END IF;
    RETURN NULL;
END;
$$;

CREATE TRIGGER afresh_follow_revival
AFTER UPDATE OF status ON procrastinate_jobs FOR EACH ROW
WHEN (OLD.status = 'failed' AND NEW.status = 'todo')
EXECUTE FUNCTION afresh.follow_revival();

-- How many letters there are of each kind, so that nobody counts a million of them. Whatever changes a letter adds
-- its difference here, and waits for nobody; from time to time the differences are folded into one row for each kind.
CREATE TABLE afresh.dead_letter_count (
    died_on date NOT NULL,
    status afresh.dead_letter_status NOT NULL,
    cause afresh.death_cause NOT NULL,
    task_name text NOT NULL,
    failure_type text,
    remediation text,
    letters bigint NOT NULL,
    folded boolean NOT NULL DEFAULT false
);

COMMENT ON TABLE afresh.dead_letter_count IS 'To be summed: a kind can have several rows, also negative ones.';
COMMENT ON COLUMN afresh.dead_letter_count.died_on IS 'The day of the newest death, in UTC.';

CREATE UNIQUE INDEX dead_letter_count_kind_idx
ON afresh.dead_letter_count (died_on, status, cause, task_name, failure_type, remediation) NULLS NOT DISTINCT
WHERE folded;
CREATE INDEX dead_letter_count_unfolded_idx ON afresh.dead_letter_count (died_on) WHERE NOT folded;

CREATE FUNCTION afresh.count_letter() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        INSERT INTO afresh.dead_letter_count (died_on, status, cause, task_name, failure_type, remediation, letters)
        VALUES ((OLD.died_at AT TIME ZONE 'UTC')::date, OLD.status, OLD.cause, OLD.task_name, OLD.failure_type,
                OLD.remediation, -1);
    END IF;
    IF TG_OP <> 'DELETE' THEN
        INSERT INTO afresh.dead_letter_count (died_on, status, cause, task_name, failure_type, remediation, letters)
        VALUES ((NEW.died_at AT TIME ZONE 'UTC')::date, NEW.status, NEW.cause, NEW.task_name, NEW.failure_type,
                NEW.remediation, 1);
    END IF;
    RETURN NULL;
END;
$$;

CREATE TRIGGER count_letter
AFTER INSERT OR DELETE OR UPDATE OF status, died_at, cause, task_name, failure_type, remediation
ON afresh.dead_letter FOR EACH ROW EXECUTE FUNCTION afresh.count_letter();
