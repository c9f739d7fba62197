-- The simulator. It inserts as its caller, who needs INSERT on the stream.

CREATE FUNCTION strm.simulate_random_events(stream regclass, events bigint, sessions int DEFAULT 1000) RETURNS bigint
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'strm_sql_simulate_random_events';
REVOKE EXECUTE ON FUNCTION strm.simulate_random_events(regclass, bigint, int) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION strm.simulate_random_events(regclass, bigint, int) TO strm_member, strm_approver, strm_admin;
COMMENT ON FUNCTION strm.simulate_random_events(regclass, bigint, int) IS
  'inserts random events that pass the stream''s data contract; repeatable after setseed()';
