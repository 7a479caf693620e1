-- What workers say about themselves, with each heartbeat. Procrastinate's row of a worker knows only that it lives; here
-- is where, as what, and how full its machine is. A row outlives its worker for a while, so that a loss can be told.

CREATE TABLE afresh.worker (
    worker_id bigint PRIMARY KEY,
    name text NOT NULL,
    host text NOT NULL,
    pid integer NOT NULL,
    version text NOT NULL,
    queues text[],
    concurrency integer NOT NULL CHECK (concurrency > 0),
    running integer NOT NULL CHECK (running >= 0),
    overloaded boolean NOT NULL,
    memory_bytes bigint NOT NULL,
    host_memory_percent real NOT NULL,
    host_cpu_percent real NOT NULL,
    host_disk_percent real NOT NULL,
    started_at timestamptz NOT NULL,
    beat_at timestamptz NOT NULL DEFAULT now(),
    stopped_at timestamptz
) WITH (fillfactor = 50);  -- Room for the next version of a row beside it: no index changes, so no index is written.

COMMENT ON TABLE afresh.worker IS 'Written in the statement of the heartbeat. No foreign key: Procrastinate deletes silent workers.';
COMMENT ON COLUMN afresh.worker.queues IS 'Those it takes jobs from; null: all.';
COMMENT ON COLUMN afresh.worker.memory_bytes IS 'Of its process, resident.';
COMMENT ON COLUMN afresh.worker.host_memory_percent IS 'Of the machine or its container, whichever is fuller; so with the CPU.';
COMMENT ON COLUMN afresh.worker.stopped_at IS 'It has let go of its last job; null while it lives, and for ever if it was lost.';
