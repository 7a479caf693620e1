-- Who has signed in to the dashboard, and until when. The browser holds a token, of which only the hash is here. A
-- sign-in lasts no longer than the key that made it.

CREATE TABLE afresh.sign_in (
    token_hash bytea PRIMARY KEY CHECK (octet_length(token_hash) = 32),
    holder text NOT NULL,
    signed_in_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL
);
CREATE INDEX sign_in_expires_at ON afresh.sign_in (expires_at);

COMMENT ON COLUMN afresh.sign_in.holder IS
    'The prefix of the key; of ADMIN_API_KEY, which has none, its hash by the token, which another value does not have.';
