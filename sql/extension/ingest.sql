-- Queued ingestion: how it goes, and waiting for it.

CREATE FUNCTION strm.inbox_state(stream uuid) RETURNS TABLE (rows bigint, oldest timestamptz, faults bigint)
  LANGUAGE c VOLATILE STRICT PARALLEL RESTRICTED ROWS 1 AS 'MODULE_PATHNAME', 'strm_sql_inbox_state';
REVOKE ALL ON FUNCTION strm.inbox_state(uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION strm.inbox_state(uuid) TO strm_member, strm_approver, strm_admin, strm_key_exporter, strm_monitor;
COMMENT ON FUNCTION strm.inbox_state(uuid) IS 'How many rows wait in the inbox of the stream of that id, since when the oldest, and how many were set aside: numbers, no rows. No row when it has none. Used by strm.streams';

CREATE VIEW strm.streams AS
  SELECT s.id, s.relation AS stream,
         c.handle || '/' || c.name || '/' || c.version AS contract,
         COALESCE(p.name, '7 years') AS policy,
         s.key_rotation, s.partition_by, s.created_at,
         CASE WHEN i.relation IS NULL THEN 'direct' ELSE 'queued' END AS ingest,
         i.relation AS inbox, n.rows AS inbox_rows, pg_catalog.clock_timestamp() - n.oldest AS inbox_age, n.faults AS inbox_faults
    FROM strm.stream s
    JOIN strm.data_contract c ON c.id = s.contract_id
    LEFT JOIN strm.policy p ON p.id = s.policy_id
    LEFT JOIN strm.inbox i ON i.stream_id = s.id
    LEFT JOIN LATERAL strm.inbox_state(i.stream_id) n ON true;
COMMENT ON VIEW strm.streams IS 'Streams of this database. ingest: direct or queued; of a queued one the inbox, how many rows it has, since when the oldest was queued, and how many of them were set aside because the stream refused them';
GRANT SELECT ON strm.streams TO strm_member, strm_approver, strm_admin, strm_key_exporter, strm_monitor;

CREATE FUNCTION strm.wait_for_ingest(stream regclass, timeout interval DEFAULT NULL) RETURNS void
  LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'strm_sql_wait_for_ingest';
REVOKE ALL ON FUNCTION strm.wait_for_ingest(regclass, interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION strm.wait_for_ingest(regclass, interval) TO strm_member, strm_approver, strm_admin;
COMMENT ON FUNCTION strm.wait_for_ingest(regclass, interval) IS 'Returns when all rows of the stream''s inbox that were committed before the call are in the stream, or were set aside: then with a warning. timeout: NULL waits for ever; 55000 when it is over. For who may read or write the stream, or its inbox';

CREATE FUNCTION strm.retry_inbox(stream regclass) RETURNS bigint
  LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'strm_sql_retry_inbox';
REVOKE ALL ON FUNCTION strm.retry_inbox(regclass) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION strm.retry_inbox(regclass) TO strm_member, strm_approver, strm_admin;
COMMENT ON FUNCTION strm.retry_inbox(regclass) IS 'Has the rows of the stream''s inbox that were set aside tried again, behind rows that were moved meanwhile. For the stream''s owner and strm_admin. Returns how many';
