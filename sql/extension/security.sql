-- What on this server leaks values of streams: settings, statistics, definitions. docs/security.md explains each.

CREATE FUNCTION strm.security_check() RETURNS TABLE (setting text, value text, risk text, advice text)
  LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $function$
WITH
-- settings of the server and this session, and those of roles and databases (whatever the role or database)
setting (name, value, place) AS (
  SELECT s.name, s.setting, '' FROM pg_settings s
  UNION ALL
  SELECT split_part(c.entry, '=', 1), substr(c.entry, strpos(c.entry, '=') + 1),
         concat_ws(',', ' (of role ' || quote_ident(r.rolname), ' in database ' || quote_ident(d.datname)) || ')'
    FROM pg_db_role_setting o
         CROSS JOIN LATERAL unnest(o.setconfig) AS c (entry)
         LEFT JOIN pg_database d ON d.oid = o.setdatabase
         LEFT JOIN pg_roles r ON r.oid = o.setrole
   WHERE o.setdatabase = 0 OR d.datname = current_database()
),
-- a setting leaks unless its value matches "harmless"
rule (name, harmless, risk, advice) AS (VALUES
  ('log_statement', '^(none|ddl)$',
   'Every INSERT is written to the server log with its values.', 'Set it to none or ddl.'),
  ('log_min_duration_statement', '^-1$',
   'Slow statements are written to the server log with their values.', 'Set it to -1.'),
  ('log_min_duration_sample', '^-1$',
   'A sample of slow statements is written to the server log with their values.', 'Set it to -1.'),
  ('log_transaction_sample_rate', '^0(\.0*)?$',
   'All statements of some transactions are written to the server log with their values.', 'Set it to 0.'),
  ('log_parameter_max_length_on_error', '^0$',
   'Errors carry the values of bind parameters; only log redaction keeps them out of the server log.', 'Set it to 0.'),
  ('log_min_messages', '^(info|notice|warning|error|log|fatal|panic)$',
   'Debug messages may quote statements of other sessions.', 'Set it to warning.'),
  ('strm_privacy.log_redaction', '^(on|t(r(ue?)?)?|y(es?)?|1)$',
   'Failed statements on streams are written to the server log with their values.', 'Switch it on.'),
  ('debug_print_parse', '^(off?|f(a(l(se?)?)?)?|no?|0)$',
   'Parse trees, constants included, are written to the server log.', 'Switch it off.'),
  ('debug_print_rewritten', '^(off?|f(a(l(se?)?)?)?|no?|0)$',
   'Parse trees, constants included, are written to the server log.', 'Switch it off.'),
  ('debug_print_plan', '^(off?|f(a(l(se?)?)?)?|no?|0)$',
   'Plans, constants included, are written to the server log.', 'Switch it off.'),
  ('track_activities', '^(off?|f(a(l(se?)?)?)?|no?|0)$',
   'pg_stat_activity shows running statements with their literals to superusers and pg_read_all_stats, and the server log '
   'shows that of a crashed session when log_redaction is off.',
   'Have producers use bind parameters, or switch it off.'),
  ('auto_explain.log_min_duration', '^-1$',
   'Plans of slow statements are written to the server log with constants and parameters.', 'Set it to -1.'),
  ('pg_stat_statements.track_utility', '^(off?|f(a(l(se?)?)?)?|no?|0)$',
   'pg_stat_statements keeps utility statements (of prepared statements, cursors, DO) with their literals, also on disk.',
   'Switch it off.'),
  ('pgaudit.log', '^none$',
   'The audit log holds statements with their literals.', 'Exclude WRITE and READ, and set pgaudit.log_parameter to off.')
),
logs_statements (yes) AS (
  SELECT EXISTS (SELECT FROM setting s JOIN rule r USING (name)
                  WHERE s.name IN ('log_statement', 'log_min_duration_statement', 'log_min_duration_sample',
                                   'log_transaction_sample_rate') AND s.value !~* r.harmless)
),
preloaded (library) AS (
  SELECT trim(both ' "' FROM l)
    FROM unnest(string_to_array(current_setting('shared_preload_libraries'), ',')) AS l
),
-- derived streams and the views over them, at any depth
reading_view (relid) AS (
  WITH RECURSIVE v (relid) AS (
    SELECT relation::oid FROM strm.derived_stream
    UNION
    SELECT w.ev_class
      FROM v JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = v.relid AND d.classid = 'pg_rewrite'::regclass
             JOIN pg_rewrite w ON w.oid = d.objid)
  SELECT relid FROM v
),
-- columns that hold ciphertext
personal_column (stream, contract_id, attname) AS (
  SELECT s.relation, s.contract_id, a.attname
    FROM strm.stream s
         JOIN pg_constraint c ON c.conrelid = s.relation AND c.contype = 'c' AND c.conname ~ '^strm_ciphertext(_[0-9]+)?$'
         JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = ANY (c.conkey)
)
SELECT s.name, s.value || s.place, r.risk, r.advice
  FROM setting s JOIN rule r USING (name)
 WHERE s.value !~* r.harmless
UNION ALL
SELECT s.name, s.value || s.place, 'Logged statements carry the values of bind parameters.', 'Set it to 0.'
  FROM setting s, logs_statements
 WHERE logs_statements.yes AND s.name = 'log_parameter_max_length' AND s.value <> '0'
UNION ALL
SELECT s.name, s.value || s.place,
       'Failed statements are written to the server log; only log redaction keeps those on streams out.',
       'Set strm_privacy.log_redaction to on.'
  FROM setting s
 WHERE s.name = 'log_min_error_statement' AND s.value NOT IN ('fatal', 'panic')
       AND EXISTS (SELECT FROM setting t WHERE t.name = 'strm_privacy.log_redaction' AND t.value ~* '^(off?|f.*|no?|0)$')
UNION ALL
SELECT 'shared_preload_libraries', current_setting('shared_preload_libraries'),
       'Without preload streams cannot be written, and sessions that have not used a stream yet log failed statements in full.',
       'Add strm_privacy and restart the server.'
 WHERE NOT EXISTS (SELECT FROM preloaded WHERE library = 'strm_privacy')
UNION ALL
SELECT 'strm_privacy.master_key_file', f.path, 'The master key travels with every base backup, together with what it wraps.',
       'Move it out of the data directory and of all tablespaces.'
  FROM (SELECT current_setting('strm_privacy.master_key_file', true)) AS f (path)
 WHERE EXISTS (
         SELECT FROM (SELECT current_setting('data_directory')
                      UNION ALL SELECT pg_tablespace_location(t.oid) FROM pg_tablespace t) AS d (directory)
          WHERE d.directory <> '' AND starts_with(f.path, rtrim(d.directory, '/') || '/'))
UNION ALL
SELECT 'ssl', current_setting('ssl'), 'Values travel in clear between clients and the server.', 'Switch it on, and use hostssl in pg_hba.conf.'
 WHERE current_setting('ssl') = 'off'
       AND EXISTS (SELECT FROM unnest(string_to_array(replace(current_setting('listen_addresses'), ' ', ''), ',')) AS l
                    WHERE l <> '' AND l NOT IN ('localhost', '127.0.0.1', '::1'))
UNION ALL
SELECT 'core dumps', m.parts[1], 'A crash writes the memory of a session, keys and values included, to disk.', 'Set the core file size limit of the server to 0.'
  FROM regexp_match(pg_read_file('/proc/self/limits', 0, 100000, true), 'Max core file size +(\S+)') AS m (parts)
 WHERE m.parts[1] <> '0'
UNION ALL
SELECT 'swap', split_part(l.line, ' ', 1), 'Memory of a session, values included, may be written to the swap device (keys are locked in memory where the system allows).',
       'Switch swap off, or encrypt it.'
  FROM string_to_table(pg_read_file('/proc/swaps', 0, 100000, true), E'\n') WITH ORDINALITY AS l (line, number)
 WHERE l.number > 1 AND l.line <> '' AND l.line !~ '^/dev/(zram|mapper/)'
UNION ALL
SELECT 'event trigger ' || e.evtname, 'disabled', 'Streams are not protected from changes to their columns and triggers.',
       format('ALTER EVENT TRIGGER %I ENABLE', e.evtname)
  FROM pg_event_trigger e JOIN pg_proc p ON p.oid = e.evtfoid JOIN pg_namespace n ON n.oid = p.pronamespace
 WHERE n.nspname = 'strm' AND e.evtenabled NOT IN ('O', 'A')
UNION ALL
SELECT 'stream ' || s.relation::text, format('trigger %I does not fire', t.name),
       'Rows are not encrypted on INSERT (plaintext is refused by a constraint), or can be updated.',
       format('Enable or restore the trigger of table %s.', s.relation)
  FROM strm.stream s CROSS JOIN (VALUES ('strm_encrypt'), ('strm_refuse_update')) AS t (name)
 WHERE NOT EXISTS (SELECT FROM pg_trigger g WHERE g.tgrelid = s.relation AND g.tgname = t.name AND g.tgenabled IN ('O', 'A'))
UNION ALL
SELECT 'stream ' || p.stream::text, format('boolean field %I', p.attname),
       'Two values only: who sees that ciphertexts are equal, or how long they are, may know the value.',
       'Leave the field out, or grant SELECT on the stream sparingly.'
  FROM personal_column p JOIN strm.data_contract c ON c.id = p.contract_id
 WHERE EXISTS (SELECT FROM jsonb_path_query(c.schema, '$.nodes[*]') AS n (node)
                WHERE upper(n.node ->> 'type') = 'BOOLEAN'
                      AND lower(replace(n.node ->> 'name', '_', '')) = replace(p.attname, '_', ''))
UNION ALL
SELECT 'stream ' || s.relation::text, format('role %I may INSERT and SELECT', r.rolname),
       'Who inserts values of their own choice and sees the ciphertext can find out which rows under the same key have that value.',
       format('Revoke INSERT or SELECT on %s.', s.relation)
  FROM strm.stream s JOIN pg_class t ON t.oid = s.relation CROSS JOIN pg_roles r
 WHERE NOT r.rolsuper AND NOT pg_has_role(r.oid, t.relowner, 'USAGE')
       AND has_table_privilege(r.oid, s.relation, 'INSERT') AND has_any_column_privilege(r.oid, s.relation, 'SELECT')
UNION ALL
SELECT 'derived stream ' || d.relation::text, format('role %I may INSERT into %s and SELECT', r.rolname, s.relation),
       'Who inserts values of their own choice and sees their masks can find out which masks are of these values.',
       format('Revoke INSERT on %s, or SELECT on %s.', s.relation, d.relation)
  FROM strm.derived_stream d JOIN strm.stream s ON s.id = d.stream_id JOIN pg_class t ON t.oid = d.relation CROSS JOIN pg_roles r
 WHERE cardinality(d.masked_fields) > 0 AND NOT r.rolsuper AND NOT pg_has_role(r.oid, t.relowner, 'USAGE')
       AND has_table_privilege(r.oid, s.relation, 'INSERT') AND has_any_column_privilege(r.oid, d.relation, 'SELECT')
UNION ALL
SELECT 'derived stream ' || d.relation::text, 'murmur3', 'murmur3 masks are no protection: they are quickly reversed by guessing.', 'Use hash_type blake2b.'
  FROM strm.derived_stream d
 WHERE d.hash_type = 'murmur3' AND cardinality(d.masked_fields) > 0
UNION ALL
SELECT 'derived stream ' || d.relation::text, 'no security_barrier', 'A cheap function in a query sees rows without consent.',
       format('ALTER VIEW %s SET (security_barrier)', d.relation)
  FROM strm.derived_stream d JOIN pg_class c ON c.oid = d.relation
 WHERE NOT EXISTS (SELECT FROM pg_options_to_table(c.reloptions) AS o WHERE o.option_name = 'security_barrier' AND o.option_value::boolean)
UNION ALL
SELECT 'Kafka exporter ' || quote_ident(e.name), COALESCE(c.config ->> 'security.protocol', 'plaintext'),
       'Decrypted values travel in clear to the brokers.',
       format('Set security.protocol of Kafka cluster %I to ssl or sasl_ssl.', c.name)
  FROM strm.kafka_exporter e JOIN strm.kafka_cluster c ON c.id = e.cluster_id
 WHERE e.derived_stream_id IS NOT NULL AND lower(COALESCE(c.config ->> 'security.protocol', 'plaintext')) NOT IN ('ssl', 'sasl_ssl')
       AND EXISTS (SELECT FROM string_to_table(replace(c.bootstrap_servers, ' ', ''), ',') AS s (server)
                    WHERE s.server <> 'embedded' AND s.server !~* '^(localhost|127(\.[0-9]+){3}|\[::1\]):')
UNION ALL
SELECT 'batch exporter ' || quote_ident(k.name), format('keys in data connector %I', c.name),
       'The events that these keys decrypt are exported to the same place: who reads it reads both.',
       'Export the keys to another data connector, with other readers.'
  FROM strm.batch_exporter k JOIN strm.data_connector c ON c.id = k.connector_id
 WHERE k.keys AND EXISTS (SELECT FROM strm.batch_exporter e
                           WHERE e.stream_id = k.stream_id AND e.connector_id = k.connector_id AND NOT e.keys AND e.derived_stream_id IS NULL)
UNION ALL
SELECT 'materialized view ' || c.oid::regclass::text, 'reads a derived stream',
       'It stores decrypted values on disk, and keeps them after a data subject was deleted.', 'Use a view.'
  FROM reading_view v JOIN pg_class c ON c.oid = v.relid
 WHERE c.relkind = 'm'
UNION ALL
SELECT 'statistics ' || quote_ident(x.stxname), x.stxrelid::regclass::text,
       'Extended statistics store combinations of values, or values of expressions, on disk.', 'Drop them.'
  FROM pg_statistic_ext x
 WHERE x.stxrelid IN (SELECT relation FROM strm.stream UNION ALL SELECT relid FROM reading_view)
$function$;
REVOKE ALL ON FUNCTION strm.security_check() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION strm.security_check() TO strm_approver, strm_admin, strm_monitor;
COMMENT ON FUNCTION strm.security_check() IS 'One row for each setting or circumstance of this server and database by which values of streams leak; none when nothing does. Runs as its owner, because settings, catalogs and files that only a superuser sees are looked at; no argument reaches it';
