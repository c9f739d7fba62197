-- Data keys. Private tables: no role has a right on them; what users may see is in views and functions.

CREATE TABLE strm.data_key (
  copy bigint NOT NULL,
  window_start timestamptz NOT NULL,
  window_end timestamptz NOT NULL,
  key_id bigint NOT NULL,
  key_link uuid NOT NULL,
  owner uuid NOT NULL,
  lookup uuid NOT NULL,
  wrapped bytea NOT NULL,
  PRIMARY KEY (key_link, copy)
);
COMMENT ON TABLE strm.data_key IS 'Wrapped data keys. owner: the stream; the nil uuid for internal hash keys. lookup: keyed hash of owner and key field value. copy: 0 for the row of the transaction that made the key, a random number for an identical row of a transaction that used it meanwhile';
CREATE INDEX data_key_lookup_idx ON strm.data_key (lookup);
SELECT pg_catalog.pg_extension_config_dump('strm.data_key', '');

CREATE TABLE strm.data_key_tombstone (
  key_link uuid PRIMARY KEY,
  owner uuid NOT NULL,
  destroyed_at timestamptz NOT NULL DEFAULT pg_catalog.now()
);
COMMENT ON TABLE strm.data_key_tombstone IS 'Key links whose key was destroyed on purpose. Overrides any copy of the key: values under such a link read as NULL';
SELECT pg_catalog.pg_extension_config_dump('strm.data_key_tombstone', '');
CREATE TRIGGER invalidate_cache AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON strm.data_key_tombstone
  FOR EACH STATEMENT EXECUTE FUNCTION strm.invalidate_cache();
ALTER TABLE strm.data_key_tombstone ENABLE ALWAYS TRIGGER invalidate_cache;

CREATE TABLE strm.data_subject_link (
  copy bigint NOT NULL,
  key_link uuid NOT NULL,
  subject_hash uuid NOT NULL,
  owner uuid NOT NULL,
  subject bytea NOT NULL,
  PRIMARY KEY (key_link, subject_hash, copy)
);
COMMENT ON TABLE strm.data_subject_link IS 'Which data subjects a key link concerns. subject_hash: keyed hash of the subject id; subject: the id, encrypted under the key of the link, so that it goes when the key goes; empty once the subject was erased while the key serves others. copy as in strm.data_key';
CREATE INDEX data_subject_link_subject_idx ON strm.data_subject_link (subject_hash);
SELECT pg_catalog.pg_extension_config_dump('strm.data_subject_link', '');
