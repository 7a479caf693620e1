-- What the tables take.

-- name: list_tables
-- Every table of ours and of Procrastinate's, the largest first. What live rows should take is reckoned from their number
-- and the mean width of their columns; what the file has beyond is dead or free. Null: never analysed.
SELECT t.name, t.total_bytes, t.heap_bytes, t.total_bytes - t.heap_bytes - t.toast_bytes AS index_bytes, t.toast_bytes,
       t.live_rows, t.dead_rows,
       CASE WHEN NOT t.is_unknown AND (t.width IS NOT NULL OR t.live_rows = 0) THEN greatest(
           0, t.heap_bytes - ceil(t.live_rows * (28 + coalesce(t.width, 0)) / (8168.0 * t.fill)) * 8192
       )::bigint END AS bloat_bytes,
       (t.threshold + t.scale * t.tuples)::bigint AS vacuumed_at, t.vacuumed, t.analysed
FROM (
    SELECT CASE n.nspname WHEN 'afresh' THEN 'afresh.' ELSE '' END || c.relname AS name,
           pg_total_relation_size(c.oid) AS total_bytes, pg_relation_size(c.oid) AS heap_bytes,
           CASE c.reltoastrelid WHEN 0 THEN 0 ELSE pg_total_relation_size(c.reltoastrelid) END AS toast_bytes,
           CASE WHEN lost.statistics THEN greatest(c.reltuples, 0)::bigint ELSE s.n_live_tup END AS live_rows,
           s.n_dead_tup AS dead_rows, greatest(c.reltuples, 0) AS tuples,
           lost.statistics AND c.reltuples < 0 AS is_unknown,
           greatest(s.last_vacuum, s.last_autovacuum) AS vacuumed,
           greatest(s.last_analyze, s.last_autoanalyze) AS analysed,
           (SELECT sum((1 - p.null_frac) * p.avg_width) FROM pg_stats p
            WHERE p.schemaname = n.nspname AND p.tablename = c.relname)::double precision AS width,
           coalesce(o.fillfactor, 100) / 100.0 AS fill,
           coalesce(o.threshold, current_setting('autovacuum_vacuum_threshold')::double precision) AS threshold,
           coalesce(o.scale, current_setting('autovacuum_vacuum_scale_factor')::double precision) AS scale
    FROM pg_class c
    JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_stat_user_tables s ON s.relid = c.oid
    CROSS JOIN LATERAL (  -- as after a crash, or in a copy: what the last look at the whole table found is still known
        SELECT s.n_live_tup = 0 AND s.n_dead_tup = 0
               AND coalesce(s.last_vacuum, s.last_autovacuum, s.last_analyze, s.last_autoanalyze) IS NULL AS statistics
    ) lost
    CROSS JOIN LATERAL (
        SELECT max(option_value::double precision) FILTER (WHERE option_name = 'fillfactor') AS fillfactor,
               max(option_value::double precision) FILTER (WHERE option_name = 'autovacuum_vacuum_threshold') AS threshold,
               max(option_value::double precision) FILTER (WHERE option_name = 'autovacuum_vacuum_scale_factor') AS scale
        FROM pg_options_to_table(c.reloptions)
        WHERE option_name IN ('fillfactor', 'autovacuum_vacuum_threshold', 'autovacuum_vacuum_scale_factor')
    ) o
    WHERE c.relkind = 'r' AND (n.nspname = 'afresh' OR c.oid = to_regclass(quote_ident(c.relname))
                               AND c.relname LIKE 'procrastinate\_%')
) t
ORDER BY t.total_bytes DESC, t.name;
