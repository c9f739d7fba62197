-- What entities did, and what went wrong with them.

CREATE TABLE strm.entity_message (
  id uuid NOT NULL,
  number bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
  entity text NOT NULL,
  at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
  level text NOT NULL,
  sqlstate text,
  message text NOT NULL,
  hint text,
  PRIMARY KEY (id, number)
);
COMMENT ON TABLE strm.entity_message IS 'The last messages of each entity, in the order of their numbers; never a personal value. Not dumped: they belong to this server';

CREATE VIEW strm.entity_log AS
  SELECT m.entity, m.id, n.name, m.at, m.level, m.sqlstate, m.message, m.hint
    FROM strm.entity_message m
    LEFT JOIN LATERAL (
      SELECT b.name, b.owner::oid AS owner FROM strm.batch_exporter b WHERE m.entity = 'batch_exporter' AND b.id = m.id
      UNION ALL
      SELECT k.name, k.owner::oid FROM strm.kafka_exporter k WHERE m.entity = 'kafka_exporter' AND k.id = m.id
      UNION ALL
      SELECT NULL, j.owner::oid FROM strm.batch_job j WHERE m.entity = 'batch_job' AND j.id = m.id
      UNION ALL
      SELECT s.relation::text, c.relowner FROM strm.stream s JOIN pg_catalog.pg_class c ON c.oid = s.relation WHERE m.entity = 'stream' AND s.id = m.id
    ) AS n ON true
   WHERE pg_catalog.pg_has_role('strm_admin', 'USAGE') OR pg_catalog.pg_has_role('strm_monitor', 'USAGE') OR pg_catalog.pg_has_role(n.owner, 'USAGE')
   ORDER BY m.number;
COMMENT ON VIEW strm.entity_log IS 'What exporters, batch jobs and streams with queued ingestion did, and what went wrong with them: the last 1,000 messages of each, as strm_admin, strm_monitor and its owner see them. level: LOG, WARNING (it goes on by itself) or ERROR. Never a personal value. What is dropped is forgotten';
GRANT SELECT ON strm.entity_log TO strm_member, strm_approver, strm_admin, strm_key_exporter, strm_monitor;
