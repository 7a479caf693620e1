-- Who has signed in to the dashboard.

-- name: insert_sign_in
-- A new one; those that are over go.
WITH over AS (DELETE FROM afresh.sign_in WHERE expires_at <= now())
INSERT INTO afresh.sign_in (token_hash, holder, expires_at)
VALUES (%(token_hash)s, %(holder)s, now() + %(lasts)s);

-- name: find_sign_in
-- Whose it is, while it lasts.
SELECT holder FROM afresh.sign_in WHERE token_hash = %(token_hash)s AND expires_at > now();

-- name: delete_sign_in
-- End it.
DELETE FROM afresh.sign_in WHERE token_hash = %(token_hash)s;
