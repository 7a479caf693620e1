-- formerly f9c9305b5b402c3782371ac246cd8adc0f4183091c305b8edcf00bf946bc37ff, which set those of Procrastinate's tables as well (0037).
--
-- Hot tables are vacuumed when a hundredth of them has died, not a fifth. Each job leaves two dead versions of its row,
-- and the claim walks over what they leave in the indexes; a purge leaves a hole of a million rows. At the default a
-- table of ten million finished jobs would wait for two million dead rows. The limit of cost is that of a table that can
-- die by 30 000 rows in a second; what only grows is frozen and made visible in small steps too, so that an index alone
-- answers more often.

ALTER TABLE afresh.attempt SET (
    autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_limit = 1000,
    autovacuum_analyze_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.05,
    toast.autovacuum_vacuum_scale_factor = 0.02
);
ALTER TABLE afresh.job_option SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);
ALTER TABLE afresh.result SET (
    autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02,
    toast.autovacuum_vacuum_scale_factor = 0.02
);
ALTER TABLE afresh.progress SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);
ALTER TABLE afresh.audit SET (
    autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02,
    autovacuum_vacuum_insert_scale_factor = 0.05
);
ALTER TABLE afresh.idempotency SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);
ALTER TABLE afresh.dead_letter SET (autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.02);
-- Written and emptied every minute.
ALTER TABLE afresh.recovery SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
ALTER TABLE afresh.dead_letter_count SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
