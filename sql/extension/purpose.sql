-- Purposes: what personal data may be used for. A level, once it means something, keeps that meaning: never dropped.

CREATE TABLE strm.purpose (
  level int4 PRIMARY KEY CHECK (level OPERATOR(pg_catalog.>=) 0),
  name text COLLATE "C" NOT NULL UNIQUE,
  description text,
  created_by text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT pg_catalog.now()
);
COMMENT ON TABLE strm.purpose IS 'Purpose levels and their names. Private: see strm.purposes';
SELECT pg_catalog.pg_extension_config_dump('strm.purpose', '');
CREATE TRIGGER invalidate_cache AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON strm.purpose
  FOR EACH STATEMENT EXECUTE FUNCTION strm.invalidate_cache();
ALTER TABLE strm.purpose ENABLE ALWAYS TRIGGER invalidate_cache;

CREATE VIEW strm.purposes AS
  SELECT level, name, description, created_by, created_at FROM strm.purpose;
COMMENT ON VIEW strm.purposes IS 'The purposes that consent levels and personal fields refer to';
GRANT SELECT ON strm.purposes TO strm_member, strm_approver, strm_admin, strm_key_exporter, strm_monitor;

CREATE FUNCTION strm.create_purpose(level int4, name text, description text DEFAULT NULL) RETURNS int4
  LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'strm_sql_create_purpose';
REVOKE ALL ON FUNCTION strm.create_purpose(int4, text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION strm.create_purpose(int4, text, text) TO strm_approver, strm_admin;
COMMENT ON FUNCTION strm.create_purpose(int4, text, text) IS 'Creates a purpose and returns its level. level: 0 or more; NULL gives the one after the highest. name: 2 to 100 characters, unique. Errors: 22023 for a bad argument, 42710 when level or name is taken';
