-- Jokes that were fetched.

-- name: keep_joke
-- Inserts a joke, or brings the one with its number up to date.
INSERT INTO afresh.jokes (id, type, setup, punchline)
VALUES (%(id)s, %(type)s, %(setup)s, %(punchline)s)
ON CONFLICT (id) DO UPDATE
SET type = excluded.type, setup = excluded.setup, punchline = excluded.punchline, fetched_at = now();
