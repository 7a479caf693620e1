-- Procrastinate's tables are vacuumed as ours are (0026). Here, since whoever runs them may have tuned them already: what
-- was set before is kept, and comes back when Afresh goes (`afresh migrate --undo`).

CREATE TABLE afresh.storage_parameter (
    table_name text NOT NULL,
    name text NOT NULL,
    given text NOT NULL,
    former text,
    PRIMARY KEY (table_name, name)
);

COMMENT ON TABLE afresh.storage_parameter IS 'What we set on tables of Procrastinate''s.';
COMMENT ON COLUMN afresh.storage_parameter.name IS 'As ALTER TABLE takes it; that of its TOAST table begins with toast.';
COMMENT ON COLUMN afresh.storage_parameter.former IS 'What it was before; null: nothing was set.';

INSERT INTO afresh.storage_parameter (table_name, name, given) VALUES
('procrastinate_jobs', 'autovacuum_vacuum_scale_factor', '0.01'),
('procrastinate_jobs', 'autovacuum_vacuum_threshold', '5000'),
('procrastinate_jobs', 'autovacuum_vacuum_cost_limit', '1000'),
('procrastinate_jobs', 'autovacuum_analyze_scale_factor', '0.02'),
('procrastinate_jobs', 'autovacuum_analyze_threshold', '5000'),
('procrastinate_jobs', 'autovacuum_vacuum_insert_scale_factor', '0.05'),
('procrastinate_jobs', 'toast.autovacuum_vacuum_scale_factor', '0.02'),
('procrastinate_events', 'autovacuum_vacuum_scale_factor', '0.01'),
('procrastinate_events', 'autovacuum_vacuum_threshold', '5000'),
('procrastinate_events', 'autovacuum_vacuum_cost_limit', '1000'),
('procrastinate_events', 'autovacuum_analyze_scale_factor', '0.02'),
('procrastinate_events', 'autovacuum_analyze_threshold', '5000'),
('procrastinate_events', 'autovacuum_vacuum_insert_scale_factor', '0.05');

-- Where the former text of 0026 has set them, what was before is lost.
UPDATE afresh.storage_parameter p SET former = s.value
FROM (
    SELECT t.oid::regclass AS table_name, o.option_name AS name, o.option_value AS value
    FROM pg_class t CROSS JOIN pg_options_to_table(t.reloptions) o
    UNION ALL
    SELECT t.oid::regclass, 'toast.' || o.option_name, o.option_value
    FROM pg_class t JOIN pg_class toast ON toast.oid = t.reltoastrelid CROSS JOIN pg_options_to_table(toast.reloptions) o
) s
WHERE s.table_name = p.table_name::regclass AND s.name = p.name
  AND NOT EXISTS (SELECT FROM afresh.migration
                  WHERE checksum = 'f9c9305b5b402c3782371ac246cd8adc0f4183091c305b8edcf00bf946bc37ff');

DO $$
DECLARE
    v_set record;
BEGIN
    FOR v_set IN
        SELECT table_name, string_agg(name || ' = ' || given, ', ' ORDER BY name) AS given
        FROM afresh.storage_parameter GROUP BY table_name ORDER BY table_name DESC
    LOOP
        EXECUTE format('ALTER TABLE %s SET (%s)', v_set.table_name::regclass, v_set.given);
    END LOOP;
END;
$$;
