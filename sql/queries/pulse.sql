-- Whether anything has happened.

-- name: read_pulse
-- The latest of everything that pages show: each is the end of an index.
SELECT (SELECT max(id) FROM procrastinate_events),
       (SELECT max(id) FROM afresh.attempt),
       (SELECT max(id) FROM afresh.audit),
       (SELECT max(id) FROM afresh.breaker_event),
       (SELECT max(id) FROM afresh.alert_event);
