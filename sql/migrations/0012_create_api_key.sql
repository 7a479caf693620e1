-- Who may call the API, and as what. The key itself is shown once and stored nowhere: a row has a hash of it, made
-- with a key that is the row's own. 256 random bits need no slow one. Revoked keys stay, so that a name in the audit
-- keeps its meaning.

CREATE TABLE afresh.api_key (
    id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    name text NOT NULL CHECK (name ~ '^[A-Za-z0-9][A-Za-z0-9 ._@-]{0,62}$'),
    role text NOT NULL CHECK (role IN ('viewer', 'operator', 'admin')),
    prefix text NOT NULL UNIQUE CHECK (prefix ~ '^afresh_[a-z0-9]+$'),
    hash bytea NOT NULL CHECK (length(hash) = 32),
    hash_key bytea NOT NULL CHECK (length(hash_key) = 32),
    created_at timestamptz NOT NULL DEFAULT now(),
    last_used_at timestamptz,
    revoked_at timestamptz
);

COMMENT ON COLUMN afresh.api_key.prefix IS 'The part of the key that is no secret, by which it is looked up.';
COMMENT ON COLUMN afresh.api_key.hash IS 'BLAKE2b of the whole key, keyed with hash_key.';
COMMENT ON COLUMN afresh.api_key.hash_key IS 'Random, and new for each key: the same key twice would have two hashes.';
COMMENT ON COLUMN afresh.api_key.last_used_at IS 'To the minute: a key costs no write per request.';

CREATE UNIQUE INDEX api_key_name_idx ON afresh.api_key (name) WHERE revoked_at IS NULL;
