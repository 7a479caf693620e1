-- Which job sends a message to which address. Whether an alert has reached anybody was written nowhere but in the log.
CREATE TABLE afresh.alert_delivery (
    message_id bigint NOT NULL REFERENCES afresh.alert_message ON DELETE CASCADE,
    channel text NOT NULL,
    job_id bigint NOT NULL,
    PRIMARY KEY (message_id, channel)
);

COMMENT ON TABLE afresh.alert_delivery IS 'How it went, the job knows, for as long as it is kept.';
COMMENT ON COLUMN afresh.alert_delivery.channel IS 'The name of an address of ALERT_URLS, which tells nothing of its secrets.';
