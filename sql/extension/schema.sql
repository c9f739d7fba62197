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
