-- What entities did, and what went wrong with them.

CREATE TABLE strm.entity_message (
  id uuid NOT NULL,
  number bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
  entity text NOT NULL,
  at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
  level text NOT NULL,
  sqlstate text,
  message text NOT NULL,
  hint text,
  PRIMARY KEY (id, number)
);
COMMENT ON TABLE strm.entity_message IS 'The last messages of each entity, in the order of their numbers; never a personal value. Not dumped: they belong to this server';
