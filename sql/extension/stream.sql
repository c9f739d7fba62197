-- Streams: the registry, and the functions that a stream's table is made of.
-- No table of ours has a foreign key: a parallel restore loads them in any order. The functions keep references whole.

CREATE TABLE strm.stream (
  id uuid PRIMARY KEY,
  relation regclass NOT NULL CONSTRAINT stream_relid_key UNIQUE,
  contract_id int NOT NULL,
  policy_id uuid,
  key_rotation interval NOT NULL,
  partition_by interval,
  created_at timestamptz NOT NULL DEFAULT pg_catalog.now()
);
COMMENT ON TABLE strm.stream IS 'One row per stream. policy_id NULL: the default policy; partition_by NULL: one table';
SELECT pg_catalog.pg_extension_config_dump('strm.stream', '');
CREATE TRIGGER invalidate_cache AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON strm.stream
  FOR EACH STATEMENT EXECUTE FUNCTION strm.invalidate_cache();
ALTER TABLE strm.stream ENABLE ALWAYS TRIGGER invalidate_cache;

CREATE FUNCTION strm.encrypt_row() RETURNS trigger
  LANGUAGE c AS 'MODULE_PATHNAME', 'strm_sql_encrypt_row';
REVOKE ALL ON FUNCTION strm.encrypt_row() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION strm.encrypt_row() TO strm_member, strm_approver, strm_admin;
COMMENT ON FUNCTION strm.encrypt_row() IS 'Trigger of streams: checks an inserted row against the data contract, encrypts its personal fields and seals it. Argument: the stream''s id. Works on that stream''s table and partitions only';

CREATE FUNCTION strm.refuse_update() RETURNS trigger
  LANGUAGE c AS 'MODULE_PATHNAME', 'strm_sql_refuse_update';
REVOKE ALL ON FUNCTION strm.refuse_update() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION strm.refuse_update() TO strm_member, strm_approver, strm_admin;
COMMENT ON FUNCTION strm.refuse_update() IS 'Trigger of streams: rows are immutable (0A000)';

-- PUBLIC: a CHECK constraint runs with the inserter's rights. The function only looks at its arguments.
CREATE FUNCTION strm.check_ciphertext(VARIADIC personal "any") RETURNS boolean
  LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'strm_sql_check_ciphertext';
COMMENT ON FUNCTION strm.check_ciphertext(VARIADIC "any") IS 'CHECK constraint of streams: true when each text or text[] is NULL or of ciphertext form, else an error (23514) that does not show the row';

CREATE FUNCTION strm.create_stream(name text, contract text, policy text DEFAULT NULL,
    key_rotation interval DEFAULT '24 hours', schema regnamespace DEFAULT pg_catalog.quote_ident(pg_catalog.current_schema())::pg_catalog.regnamespace,
    partition_by interval DEFAULT NULL, ingest text DEFAULT 'direct', index_key_link boolean DEFAULT true) RETURNS regclass
  LANGUAGE c AS 'MODULE_PATHNAME', 'strm_sql_create_stream';
REVOKE ALL ON FUNCTION strm.create_stream(text, text, text, interval, regnamespace, interval, text, boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION strm.create_stream(text, text, text, interval, regnamespace, interval, text, boolean) TO strm_member, strm_approver, strm_admin;
COMMENT ON FUNCTION strm.create_stream(text, text, text, interval, regnamespace, interval, text, boolean) IS 'Creates a table whose rows are encrypted on INSERT as the ACTIVE data contract (handle/name/version) says. key_rotation: how long one data key serves one key field value, from its first use. policy: name or id of an active policy, NULL the default. partition_by: range partitions of strm_timestamp of this width, see strm.create_partitions(); NULL: one table. ingest: direct, or queued: with a table <name>_inbox, too, whose rows a background worker moves into the stream. index_key_link: index the key link, which finds a data subject''s rows. Needs CREATE on the schema. Errors: 22023 with every fault of the call';

CREATE FUNCTION strm.create_partitions(stream regclass, ahead int4 DEFAULT 4) RETURNS int4
  LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'strm_sql_create_partitions';
REVOKE ALL ON FUNCTION strm.create_partitions(regclass, int4) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION strm.create_partitions(regclass, int4) TO strm_member, strm_approver, strm_admin;
COMMENT ON FUNCTION strm.create_partitions(regclass, int4) IS 'Makes the missing partitions of a partitioned stream: for the present window and the next ones (ahead, 0 to 1000). Rows that are in the default partition meanwhile move to theirs. To be called now and then, by any scheduler, as the stream''s owner. Returns how many it made';

CREATE FUNCTION strm.drop_stream(stream regclass) RETURNS void
  LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'strm_sql_drop_stream';
REVOKE ALL ON FUNCTION strm.drop_stream(regclass) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION strm.drop_stream(regclass) TO strm_member, strm_approver, strm_admin;
COMMENT ON FUNCTION strm.drop_stream(regclass) IS 'Drops a stream''s table, as DROP TABLE does; refused while derived streams or other objects depend on it. Its keys stay. For the table''s owner; strm_admin may drop anybody''s';

-- The first master key, if this server has none yet. The function serves this script only.
CREATE FUNCTION strm.create_master_key() RETURNS void
  LANGUAGE c AS 'MODULE_PATHNAME', 'strm_sql_create_master_key';
REVOKE ALL ON FUNCTION strm.create_master_key() FROM PUBLIC;
COMMENT ON FUNCTION strm.create_master_key() IS 'Used by CREATE EXTENSION only';
SELECT strm.create_master_key();
DROP FUNCTION strm.create_master_key();
