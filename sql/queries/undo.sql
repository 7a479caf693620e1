-- What Afresh has put into a database, for `afresh migrate --undo`.

-- name: find_schema
-- Whether it is there: a row, or none.
SELECT FROM pg_namespace WHERE nspname = 'afresh';

-- name: list_tables
-- Its tables, which on a schema that is behind are not all.
SELECT relname::text FROM pg_class WHERE relnamespace = to_regnamespace('afresh') AND relkind IN ('r', 'p') ORDER BY 1;

-- name: list_alive
-- Workers that live, by what they said last.
SELECT name FROM afresh.worker
WHERE stopped_at IS NULL AND beat_at > now() - %(stalled_after)s::interval
ORDER BY name;

-- name: list_paused
-- Queues that are paused.
SELECT name FROM afresh.hold WHERE kind = 'queue' ORDER BY name;

-- name: list_strangers
-- What others made in its schema, where a role of that name makes all its tables, and on top of it: CASCADE would drop
-- these too, be they views, or tables with a foreign key or a type, or with a trigger.
WITH ours AS (
    SELECT 'pg_class'::regclass AS kind, oid FROM pg_class WHERE relnamespace = to_regnamespace('afresh')
    UNION ALL SELECT 'pg_proc'::regclass, oid FROM pg_proc WHERE pronamespace = to_regnamespace('afresh')
    UNION ALL SELECT 'pg_type'::regclass, oid FROM pg_type WHERE typnamespace = to_regnamespace('afresh')
),
dependant AS (
    SELECT t.tgname, coalesce(r.ev_class, c.conrelid, t.tgrelid,
                              CASE WHEN d.classid = 'pg_class'::regclass THEN d.objid END) AS oid
    FROM ours
    JOIN pg_depend d ON d.refclassid = ours.kind AND d.refobjid = ours.oid AND d.deptype = 'n'
    LEFT JOIN pg_rewrite r ON d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid
    LEFT JOIN pg_constraint c ON d.classid = 'pg_constraint'::regclass AND c.oid = d.objid
    LEFT JOIN pg_trigger t ON d.classid = 'pg_trigger'::regclass AND t.oid = d.objid
)
SELECT dependant.oid::regclass::text
FROM dependant JOIN pg_class ON pg_class.oid = dependant.oid
WHERE relnamespace <> to_regnamespace('afresh') AND NOT coalesce(starts_with(tgname, 'afresh_'), false)
UNION
SELECT oid::regclass::text FROM pg_class
WHERE relnamespace = to_regnamespace('afresh') AND relkind IN ('r', 'p', 'v', 'm', 'f')
  AND relname <> ALL (%(ours)s::text[])
ORDER BY 1;

-- name: list_added
-- What bears our prefix on a table of Procrastinate's.
WITH theirs AS (
    SELECT oid FROM pg_class
    WHERE relkind = 'r' AND starts_with(relname, 'procrastinate_') AND pg_table_is_visible(oid)
)
SELECT 'trigger', tgrelid::regclass::text, tgname::text
FROM theirs JOIN pg_trigger ON tgrelid = theirs.oid
WHERE starts_with(tgname, 'afresh_') AND NOT tgisinternal
UNION ALL
SELECT 'index', indrelid::regclass::text, relname::text
FROM theirs JOIN pg_index ON indrelid = theirs.oid JOIN pg_class ON pg_class.oid = indexrelid
WHERE starts_with(relname, 'afresh_')
UNION ALL
SELECT 'column', attrelid::regclass::text, attname::text
FROM theirs JOIN pg_attribute ON attrelid = theirs.oid
WHERE starts_with(attname, 'afresh_') AND NOT attisdropped
ORDER BY 1, 3;

-- name: list_tuned
-- Storage parameters of Procrastinate's tables that are as we set them, and what they were before. Not those that
-- somebody has changed since.
WITH now_set AS (
    SELECT t.oid AS table_id, o.option_name AS name, o.option_value AS value
    FROM pg_class t CROSS JOIN pg_options_to_table(t.reloptions) o
    UNION ALL
    SELECT t.oid, 'toast.' || o.option_name, o.option_value
    FROM pg_class t
    JOIN pg_class toast ON toast.oid = t.reltoastrelid
    CROSS JOIN pg_options_to_table(toast.reloptions) o
)
SELECT p.table_name, p.name, p.former
FROM afresh.storage_parameter p
JOIN now_set n ON n.table_id = to_regclass(p.table_name) AND n.name = p.name AND n.value = p.given
ORDER BY p.table_name DESC, p.name;
