-- Policies: how long data keys are kept, and what happens when their time ends.

CREATE TABLE strm.policy (
  id uuid PRIMARY KEY,
  name text COLLATE "C" NOT NULL UNIQUE,
  retention interval NOT NULL,
  on_expiry text COLLATE "C" NOT NULL CHECK (on_expiry OPERATOR(pg_catalog.=) ANY (ARRAY['retain', 'destroy'])),
  state text COLLATE "C" NOT NULL DEFAULT 'draft' CHECK (state OPERATOR(pg_catalog.=) ANY (ARRAY['draft', 'active', 'archived'])),
  description text,
  legal_grounds text,
  created_by text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT pg_catalog.now()
);
COMMENT ON TABLE strm.policy IS 'Retention policies of data keys. Private: see strm.policies. The default policy is built in, not a row';
SELECT pg_catalog.pg_extension_config_dump('strm.policy', '');
CREATE TRIGGER invalidate_cache AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON strm.policy
  FOR EACH STATEMENT EXECUTE FUNCTION strm.invalidate_cache();
ALTER TABLE strm.policy ENABLE ALWAYS TRIGGER invalidate_cache;

CREATE VIEW strm.policies AS
  SELECT id, name, retention, on_expiry, state, description, legal_grounds, created_by, created_at FROM strm.policy
  UNION ALL
  SELECT NULL::uuid, '7 years'::text COLLATE "C", '2556 days'::interval, 'retain'::text COLLATE "C", 'active'::text COLLATE "C",
         'The default policy'::text, NULL::text, NULL::text, NULL::timestamptz;
COMMENT ON VIEW strm.policies IS 'All policies. The built-in default policy, 7 years, has no id';
GRANT SELECT ON strm.policies TO strm_member, strm_approver, strm_admin, strm_key_exporter, strm_monitor;

CREATE FUNCTION strm.create_policy(name text, retention interval, description text DEFAULT NULL, legal_grounds text DEFAULT NULL, on_expiry text DEFAULT 'retain', id uuid DEFAULT NULL) RETURNS uuid
  LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'strm_sql_create_policy';
REVOKE ALL ON FUNCTION strm.create_policy(text, interval, text, text, text, uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION strm.create_policy(text, interval, text, text, text, uuid) TO strm_approver, strm_admin;
COMMENT ON FUNCTION strm.create_policy(text, interval, text, text, text, uuid) IS 'Creates a policy in state draft and returns its id. name: 1 to 100 characters, unique. retention: at least 1 day. on_expiry: retain or destroy. id: for a policy that is known elsewhere, as in the configurations of batch jobs, by that id; random without it. Errors: 22023 for a bad argument, 42710 when the name or the id is taken';

CREATE FUNCTION strm.activate_policy(policy text) RETURNS void
  LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'strm_sql_activate_policy';
REVOKE ALL ON FUNCTION strm.activate_policy(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION strm.activate_policy(text) TO strm_approver, strm_admin;
COMMENT ON FUNCTION strm.activate_policy(text) IS 'Makes a draft or archived policy, given by name or id, active: only active policies can be attached. Errors: 42704 no such policy, 55000 wrong state';

CREATE FUNCTION strm.archive_policy(policy text) RETURNS void
  LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'strm_sql_archive_policy';
REVOKE ALL ON FUNCTION strm.archive_policy(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION strm.archive_policy(text) TO strm_approver, strm_admin;
COMMENT ON FUNCTION strm.archive_policy(text) IS 'Archives an active policy, given by name or id: what it is attached to keeps it, nothing new can be. Errors: 42704 no such policy, 55000 wrong state';

CREATE FUNCTION strm.drop_policy(policy text) RETURNS void
  LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'strm_sql_drop_policy';
REVOKE ALL ON FUNCTION strm.drop_policy(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION strm.drop_policy(text) TO strm_approver, strm_admin;
COMMENT ON FUNCTION strm.drop_policy(text) IS 'Drops a draft or archived policy, given by name or id. Errors: 42704 no such policy, 55000 wrong state or still in use by a stream or batch job group';
