-- Events as JSON, where INSERT on the stream, SELECT on the stream or derived stream decide, and their schema in Avro.

-- PUBLIC: runs an INSERT as its caller
CREATE FUNCTION strm.ingest(stream regclass, event jsonb) RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'strm_sql_ingest';
COMMENT ON FUNCTION strm.ingest(regclass, jsonb) IS 'Inserts one event in JSON into a stream: its strmMeta must name the stream''s contract, and has the consent levels';

-- PUBLIC: runs a SELECT as its caller
CREATE FUNCTION strm.events(stream regclass, since timestamptz DEFAULT NULL, max_rows int DEFAULT 1000) RETURNS SETOF json
LANGUAGE c STABLE PARALLEL RESTRICTED ROWS 1000 COST 10000 AS 'MODULE_PATHNAME', 'strm_sql_events';
COMMENT ON FUNCTION strm.events(regclass, timestamptz, int) IS
  'Events of a stream or derived stream as JSON, oldest first: the first max_rows since a time, or without one the last max_rows';

CREATE FUNCTION strm.avro_schema(stream regclass) RETURNS text
LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'strm_sql_avro_schema';
REVOKE ALL ON FUNCTION strm.avro_schema(regclass) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION strm.avro_schema(regclass) TO strm_member, strm_approver, strm_admin, strm_key_exporter, strm_monitor;
COMMENT ON FUNCTION strm.avro_schema(regclass) IS
  'The Avro schema of the events of a stream or derived stream, as Kafka exporters in format avro register it. Errors: 42704 no stream, 22023 its data contract has no Avro form';
