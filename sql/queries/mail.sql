-- Who has a mail already, and who was refused it.

-- name: read_replies
-- What the mail server said for a job: whoever has the mail, and whom it refused this very job for good.
SELECT address, code, message
FROM afresh.mail_recipient
WHERE job_id = %(origin)s AND (code < 300 OR said_to = %(job_id)s);

-- name: keep_replies
-- What it said now. Whoever has the mail has it.
INSERT INTO afresh.mail_recipient AS r (job_id, address, code, message, said_to)
SELECT %(origin)s, g.address, g.code, g.message, %(job_id)s
FROM jsonb_to_recordset(%(replies)s::jsonb) AS g (address text, code integer, message text)
ON CONFLICT (job_id, address) DO UPDATE
SET code = excluded.code, message = excluded.message, said_to = excluded.said_to, said_at = now()
WHERE r.code >= 300;
