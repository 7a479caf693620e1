-- API keys. The key itself never comes here.

-- name: insert_key
-- A new key; no row: the name is taken.
INSERT INTO afresh.api_key (name, role, prefix, hash, hash_key)
VALUES (%(name)s, %(role)s, %(prefix)s, %(hash)s, %(hash_key)s)
ON CONFLICT (name) WHERE revoked_at IS NULL DO NOTHING
RETURNING id;

-- name: revoke_key
-- End a key; no row: there is none of that name.
UPDATE afresh.api_key SET revoked_at = now() WHERE name = %(name)s AND revoked_at IS NULL RETURNING prefix;

-- name: list_keys
-- The keys that are in force, by name.
SELECT name, role, prefix, hash, hash_key, created_at, last_used_at
FROM afresh.api_key WHERE revoked_at IS NULL ORDER BY name;

-- name: exists_key
-- Whether any key is in force.
SELECT EXISTS (SELECT FROM afresh.api_key WHERE revoked_at IS NULL);

-- name: touch_key
-- Remember that a key was used.
UPDATE afresh.api_key SET last_used_at = now() WHERE prefix = %(prefix)s;
