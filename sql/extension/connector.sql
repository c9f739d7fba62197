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
