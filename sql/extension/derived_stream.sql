-- Derived streams: views that show the consented rows of a stream with the fields of some purposes readable or masked.

CREATE TABLE strm.derived_stream (
  id uuid NOT NULL CONSTRAINT derived_stream_pkey PRIMARY KEY,
  relation regclass NOT NULL CONSTRAINT derived_stream_relid_key UNIQUE,
  stream_id uuid NOT NULL,
  purposes int[] NOT NULL CHECK (pg_catalog.cardinality(purposes) BETWEEN 1 AND 50),
  consent_level_type text NOT NULL CHECK (consent_level_type OPERATOR(pg_catalog.=) ANY ('{GRANULAR,CUMULATIVE}'::text[])),
  masked_fields text[] NOT NULL,
  hash_type text NOT NULL CHECK (hash_type OPERATOR(pg_catalog.=) ANY ('{blake2b,murmur3}'::text[])),
  mask_seed bytea CHECK ((mask_seed IS NULL) OPERATOR(pg_catalog.=) (pg_catalog.cardinality(masked_fields) OPERATOR(pg_catalog.=) 0)),
  created_at timestamptz NOT NULL DEFAULT pg_catalog.now()
);
CREATE INDEX derived_stream_stream_idx ON strm.derived_stream (stream_id);
COMMENT ON TABLE strm.derived_stream IS 'Registry of derived streams; mask_seed is wrapped by the master key. Written by functions only';
SELECT pg_catalog.pg_extension_config_dump('strm.derived_stream', '');

CREATE TRIGGER invalidate_cache AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON strm.derived_stream
  FOR EACH STATEMENT EXECUTE FUNCTION strm.invalidate_cache();
ALTER TABLE strm.derived_stream ENABLE ALWAYS TRIGGER invalidate_cache;

CREATE VIEW strm.derived_streams AS
SELECT d.relation AS derived_stream, s.relation AS source, d.purposes, d.consent_level_type, d.masked_fields,
       CASE WHEN pg_catalog.cardinality(d.masked_fields) OPERATOR(pg_catalog.>) 0 THEN d.hash_type END AS hash_type,
       d.created_at, d.id
  FROM strm.derived_stream d JOIN strm.stream s ON s.id OPERATOR(pg_catalog.=) d.stream_id;
COMMENT ON VIEW strm.derived_streams IS 'Derived streams; never their mask seeds';
GRANT SELECT ON strm.derived_streams TO strm_member, strm_approver, strm_admin, strm_key_exporter, strm_monitor;

-- What masks the fields that are not personal: the id of a derived stream and its wrapped seed. The view of a derived stream
-- reads this view as its owner and hands the token to strm.mask_value(). Only those who own derived streams may read it:
-- whoever holds a token can mask values of his own choice, and so find out which value a mask is of by trying a dictionary.
-- (Masks of personal fields need no token: strm.reveal() makes them of sealed values only.)
CREATE VIEW strm.mask_token WITH (security_barrier) AS
SELECT id AS derived_stream, pg_catalog.uuid_send(id) OPERATOR(pg_catalog.||) mask_seed AS token
  FROM strm.derived_stream
 WHERE mask_seed IS NOT NULL;
COMMENT ON VIEW strm.mask_token IS 'Tokens for strm.mask_value(), for owners of derived streams only: a token allows guessing what a mask is of';
GRANT SELECT ON strm.mask_token TO strm_approver;

CREATE FUNCTION strm.create_derived_stream(source text, purposes int[], name text DEFAULT NULL,
    consent_level_type text DEFAULT 'GRANULAR', masked_fields text[] DEFAULT '{}', mask_seed text DEFAULT NULL,
    hash_type text DEFAULT 'blake2b') RETURNS regclass
  LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'strm_sql_create_derived_stream';
REVOKE ALL ON FUNCTION strm.create_derived_stream(text, int[], text, text, text[], text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION strm.create_derived_stream(text, int[], text, text, text[], text, text) TO strm_approver;
COMMENT ON FUNCTION strm.create_derived_stream(text, int[], text, text, text[], text, text) IS
  'Creates a view of a stream''s rows whose consent covers the purposes, with their fields readable or masked';

CREATE FUNCTION strm.drop_derived_stream(name text) RETURNS void
  LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'strm_sql_drop_derived_stream';
REVOKE ALL ON FUNCTION strm.drop_derived_stream(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION strm.drop_derived_stream(text) TO strm_approver, strm_admin;
COMMENT ON FUNCTION strm.drop_derived_stream(text) IS 'Drops a derived stream and its registration; refused while something depends on it';

-- The functions that views of derived streams call. PostgreSQL checks EXECUTE on them against a view's reader, so they are for
-- everybody, with any arguments: each is safe by itself.

-- PUBLIC: a filter decides on its arguments alone
CREATE FUNCTION strm.consents_to(levels int4[], purposes int4[]) RETURNS boolean
  LANGUAGE c IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE AS 'MODULE_PATHNAME', 'strm_sql_consents_to';
COMMENT ON FUNCTION strm.consents_to(int4[], int4[]) IS 'Do the consent levels contain every one of the purposes?';

-- PUBLIC: a filter decides on its arguments alone
CREATE FUNCTION strm.consents_up_to(levels int4[], level int4) RETURNS boolean
  LANGUAGE c IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE AS 'MODULE_PATHNAME', 'strm_sql_consents_up_to';
COMMENT ON FUNCTION strm.consents_up_to(int4[], int4) IS 'Is the highest of the consent levels at least this level?';

-- PUBLIC: checks that the caller may SELECT that column of the derived stream, and that the server sealed the row
CREATE FUNCTION strm.reveal(derived uuid, field int4, contract_version text, nonce int4, ts timestamptz, key_link uuid,
    consent_levels int4[], seal bytea, result_type anyelement, VARIADIC personal "any") RETURNS anyelement
  LANGUAGE c STABLE PARALLEL SAFE COST 25 AS 'MODULE_PATHNAME', 'strm_sql_reveal';
COMMENT ON FUNCTION strm.reveal(uuid, int4, text, int4, timestamptz, uuid, int4[], bytea, anyelement, "any") IS
  'A personal field of a sealed row as a derived stream shows it, for those who may SELECT it there';

-- PUBLIC: does nothing without a token, which only owners of derived streams can read
CREATE FUNCTION strm.mask_value(token bytea, field int4, value anynonarray) RETURNS text
  LANGUAGE c STABLE STRICT PARALLEL SAFE COST 25 AS 'MODULE_PATHNAME', 'strm_sql_mask_value';
COMMENT ON FUNCTION strm.mask_value(bytea, int4, anynonarray) IS 'The mask of a field that is not personal, for holders of a token';

-- PUBLIC: does nothing without a token, which only owners of derived streams can read
CREATE FUNCTION strm.mask_values(token bytea, field int4, value anyarray) RETURNS text[]
  LANGUAGE c STABLE STRICT PARALLEL SAFE COST 25 AS 'MODULE_PATHNAME', 'strm_sql_mask_values';
COMMENT ON FUNCTION strm.mask_values(bytea, int4, anyarray) IS 'The masks of a repeated field''s elements, for holders of a token';

-- No privilege is needed to call a trigger function through its trigger, only to create the trigger.
CREATE FUNCTION strm.refuse_write() RETURNS trigger
  LANGUAGE c AS 'MODULE_PATHNAME', 'strm_sql_refuse_write';
REVOKE ALL ON FUNCTION strm.refuse_write() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION strm.refuse_write() TO strm_approver;
COMMENT ON FUNCTION strm.refuse_write() IS 'INSTEAD OF trigger of derived streams: they are read-only';
