-- Timestamps as batch jobs read them.

CREATE FUNCTION strm.parse_timestamp(value text, format text DEFAULT NULL, default_zone text DEFAULT NULL) RETURNS timestamptz
  LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'strm_sql_parse_timestamp';
REVOKE ALL ON FUNCTION strm.parse_timestamp(text, text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION strm.parse_timestamp(text, text, text) TO strm_member, strm_approver, strm_admin, strm_key_exporter, strm_monitor;
COMMENT ON FUNCTION strm.parse_timestamp(text, text, text) IS 'The timestamp that a batch job with this format and default time zone reads, in milliseconds: to try a timestamp_config. format: a pattern of Java''s DateTimeFormatter (NULL: ISO_8601), EPOCH_SECONDS or EPOCH_MILLIS; default_zone: for values without an offset or zone (NULL: UTC)';
