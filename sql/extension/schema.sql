\echo Use "CREATE EXTENSION strm_privacy" to load this file. \quit

-- The extension's schema. CREATE, not CREATE IF NOT EXISTS: an existing schema could hold another's objects.
CREATE SCHEMA strm;
COMMENT ON SCHEMA strm IS 'strm_privacy: definitions, keys and functions';

-- Roles are the cluster's, not the database's: created when missing, never dropped. DESCRIPTION of each in docs/security.md.
DO $roles$
DECLARE
  role_name text;
BEGIN
  FOREACH role_name IN ARRAY ARRAY['strm_member', 'strm_approver', 'strm_admin', 'strm_key_exporter', 'strm_monitor']
  LOOP
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname OPERATOR(pg_catalog.=) role_name) THEN
      EXECUTE pg_catalog.format('CREATE ROLE %I NOLOGIN', role_name);
    END IF;
  END LOOP;
END
$roles$;

GRANT USAGE ON SCHEMA strm TO PUBLIC;

CREATE FUNCTION strm.invalidate_cache() RETURNS trigger
  LANGUAGE c AS 'MODULE_PATHNAME', 'strm_sql_invalidate_cache';
REVOKE ALL ON FUNCTION strm.invalidate_cache() FROM PUBLIC;
COMMENT ON FUNCTION strm.invalidate_cache() IS 'Statement trigger of the registry tables: every session drops what it cached of the table. ENABLE ALWAYS, so that a restore or a replica does it too';
