-- Workers say with each heartbeat how full their hosts are; of a host where only the API runs nobody knew that its disk
-- was full.

CREATE TABLE afresh.api_host (
    host text PRIMARY KEY,
    memory_percent double precision NOT NULL,
    disk_percent double precision NOT NULL,
    told_at timestamptz NOT NULL
);

COMMENT ON TABLE afresh.api_host IS 'How full the hosts of API processes are, as one of them said last; once a minute.';
