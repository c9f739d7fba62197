-- Data connectors: places outside the database where files are read and written.

CREATE TABLE strm.data_connector (
  id uuid PRIMARY KEY,
  name text NOT NULL CONSTRAINT data_connector_name_key UNIQUE,
  owner regrole NOT NULL,
  kind text NOT NULL,
  location jsonb NOT NULL,
  credentials bytea,
  trusted boolean NOT NULL,
  created_at timestamptz NOT NULL DEFAULT pg_catalog.now()
);
COMMENT ON TABLE strm.data_connector IS 'One row per data connector. credentials: JSON wrapped by the master key, never shown; trusted: made by an administrator, may reach servers on this machine itself';
SELECT pg_catalog.pg_extension_config_dump('strm.data_connector', '');

CREATE TABLE strm.data_connector_user (
  connector_id uuid NOT NULL,
  grantee regrole NOT NULL,
  PRIMARY KEY (connector_id, grantee)
);
COMMENT ON TABLE strm.data_connector_user IS 'Roles that may use a data connector, besides its owner';
SELECT pg_catalog.pg_extension_config_dump('strm.data_connector_user', '');

CREATE VIEW strm.data_connectors AS
SELECT c.id, c.name, c.kind, pg_catalog.pg_get_userbyid(c.owner) AS owner, c.location, c.credentials IS NOT NULL AS has_credentials,
       ARRAY(SELECT r.rolname
               FROM strm.data_connector_user u JOIN pg_catalog.pg_roles r ON r.oid OPERATOR(pg_catalog.=) u.grantee::oid
              WHERE u.connector_id OPERATOR(pg_catalog.=) c.id
              ORDER BY r.rolname) AS usable_by,
       c.created_at
  FROM strm.data_connector c;
COMMENT ON VIEW strm.data_connectors IS 'Data connectors; never their credentials. usable_by: roles that may use it besides its owner and strm_admin';
GRANT SELECT ON strm.data_connectors TO strm_member, strm_approver, strm_admin, strm_key_exporter, strm_monitor;

CREATE FUNCTION strm.create_data_connector(name text, kind text, location jsonb, credentials jsonb DEFAULT NULL) RETURNS uuid
  LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'strm_sql_create_data_connector';
REVOKE ALL ON FUNCTION strm.create_data_connector(text, text, jsonb, jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION strm.create_data_connector(text, text, jsonb, jsonb) TO strm_member, strm_approver, strm_admin;
COMMENT ON FUNCTION strm.create_data_connector(text, text, jsonb, jsonb) IS 'Creates a data connector of the current role and returns its id. name: 1 to 100 characters, unique. location: where it leads, visible to all; credentials: stored encrypted and never shown again. Nothing outside is reached: a connector is checked when a job or exporter that uses it is created. Errors: 22023 with all faults of the definition, 42710 when the name is taken, 42501 for a directory when neither strm_admin nor a reader and writer of server files';

CREATE FUNCTION strm.alter_data_connector(name text, location jsonb DEFAULT NULL, credentials jsonb DEFAULT NULL) RETURNS void
  LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'strm_sql_alter_data_connector';
REVOKE ALL ON FUNCTION strm.alter_data_connector(text, jsonb, jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION strm.alter_data_connector(text, jsonb, jsonb) TO strm_member, strm_approver, strm_admin;
COMMENT ON FUNCTION strm.alter_data_connector(text, jsonb, jsonb) IS 'Replaces the location, the credentials or both of a data connector; NULL leaves them, credentials ''{}'' takes them away. Credentials that are left are not sent to a new URL: they must be given again with it. Where exporters of keys and derived streams lead is changed by who may export these only. For its owner and strm_admin. Errors: 42704, 42501, 22023';

CREATE FUNCTION strm.drop_data_connector(name text) RETURNS void
  LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'strm_sql_drop_data_connector';
REVOKE ALL ON FUNCTION strm.drop_data_connector(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION strm.drop_data_connector(text) TO strm_member, strm_approver, strm_admin;
COMMENT ON FUNCTION strm.drop_data_connector(text) IS 'Drops a data connector, with its grants. For its owner and strm_admin. Errors: 42704, 42501, 55000 when a batch exporter, or a batch job that is not over, uses it';

CREATE FUNCTION strm.grant_data_connector(name text, grantee regrole) RETURNS void
  LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'strm_sql_grant_data_connector';
REVOKE ALL ON FUNCTION strm.grant_data_connector(text, regrole) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION strm.grant_data_connector(text, regrole) TO strm_member, strm_approver, strm_admin;
COMMENT ON FUNCTION strm.grant_data_connector(text, regrole) IS 'Lets a role, and so its members, use a data connector in jobs and exporters; not alter, drop or grant it. For its owner and strm_admin. Errors: 42704, 42501';

CREATE FUNCTION strm.revoke_data_connector(name text, grantee regrole) RETURNS void
  LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'strm_sql_revoke_data_connector';
REVOKE ALL ON FUNCTION strm.revoke_data_connector(text, regrole) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION strm.revoke_data_connector(text, regrole) TO strm_member, strm_approver, strm_admin;
COMMENT ON FUNCTION strm.revoke_data_connector(text, regrole) IS 'Takes back strm.grant_data_connector(): from now on; a run that goes on ends. For the owner and strm_admin. Errors: 42704, 42501';
