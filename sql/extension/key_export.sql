-- Data keys as users see them, and their export.

CREATE VIEW strm.data_keys AS
  SELECT k.key_link, CASE WHEN g.id IS NULL THEN k.owner END AS stream_id, s.relation AS stream, g.id AS batch_job_group,
         k.window_start, k.window_end, NULL::timestamptz AS destroyed_at
    FROM strm.data_key k
    LEFT JOIN strm.stream s ON s.id = k.owner
    LEFT JOIN strm.batch_job_group g ON g.id = k.owner
   WHERE k.owner <> '00000000-0000-0000-0000-000000000000' AND k.copy = (
           SELECT pg_catalog.min(o.copy) FROM strm.data_key o WHERE o.key_link = k.key_link)
     AND NOT EXISTS (SELECT FROM strm.data_key_tombstone t WHERE t.key_link = k.key_link)
  UNION ALL
  SELECT t.key_link, CASE WHEN g.id IS NULL THEN t.owner END, s.relation, g.id, NULL, NULL, t.destroyed_at
    FROM strm.data_key_tombstone t
    LEFT JOIN strm.stream s ON s.id = t.owner
    LEFT JOIN strm.batch_job_group g ON g.id = t.owner;
COMMENT ON VIEW strm.data_keys IS 'Data keys (never key material) and destroyed ones: key link, stream or batch job group, and the window in which the key encrypts new rows (of a group: the UTC day of the records)';
GRANT SELECT ON strm.data_keys TO strm_member, strm_approver, strm_admin, strm_key_exporter, strm_monitor;

CREATE FUNCTION strm.export_keys_of(stream regclass, batch_job_group uuid, since timestamptz)
  RETURNS TABLE (key_link uuid, encryption_key text, policy_id uuid, expires_at bigint)
  LANGUAGE c AS 'MODULE_PATHNAME', 'strm_sql_export_keys';
REVOKE ALL ON FUNCTION strm.export_keys_of(regclass, uuid, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION strm.export_keys_of(regclass, uuid, timestamptz) TO strm_key_exporter;
COMMENT ON FUNCTION strm.export_keys_of(regclass, uuid, timestamptz) IS 'Used by strm.export_keys(). One of stream and batch_job_group must be NULL';

-- Functions in SQL that the planner replaces by their body: so a query in whose FROM one stands streams the keys, and none
-- of them is spilled to a temporary file.

CREATE FUNCTION strm.export_keys(stream regclass, since timestamptz DEFAULT NULL)
  RETURNS TABLE (key_link uuid, encryption_key text, policy_id uuid, expires_at bigint)
  LANGUAGE sql STABLE AS $function$
  SELECT (e.k).key_link, (e.k).encryption_key, (e.k).policy_id, (e.k).expires_at
    FROM (SELECT strm.export_keys_of($1, NULL, $2) AS k) AS e
$function$;
REVOKE ALL ON FUNCTION strm.export_keys(regclass, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION strm.export_keys(regclass, timestamptz) TO strm_key_exporter;
COMMENT ON FUNCTION strm.export_keys(regclass, timestamptz) IS 'The data keys of a stream in clear, but for destroyed ones: key link, Tink JSON keyset (AesSivKey, prefix TINK), policy (NULL: the default one), and when its time ends, in milliseconds since 1970. since: only keys made since then, or whose window starts since then. Leaves a line in the server log. Erasure cannot reach what was exported. Errors: 42704 no such stream, 55000 sealed';

CREATE FUNCTION strm.export_keys(batch_job_group uuid, since timestamptz DEFAULT NULL)
  RETURNS TABLE (key_link uuid, encryption_key text, policy_id uuid, expires_at bigint)
  LANGUAGE sql STABLE AS $function$
  SELECT (e.k).key_link, (e.k).encryption_key, (e.k).policy_id, (e.k).expires_at
    FROM (SELECT strm.export_keys_of(NULL, $1, $2) AS k) AS e
$function$;
REVOKE ALL ON FUNCTION strm.export_keys(uuid, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION strm.export_keys(uuid, timestamptz) TO strm_key_exporter;
COMMENT ON FUNCTION strm.export_keys(uuid, timestamptz) IS 'The same of a batch job group. A job without a group is one of its own, of the same id';

CREATE FUNCTION strm.export_keys(stream_or_group text, since timestamptz DEFAULT NULL)
  RETURNS TABLE (key_link uuid, encryption_key text, policy_id uuid, expires_at bigint)
  LANGUAGE sql STABLE AS $function$
  SELECT (e.k).key_link, (e.k).encryption_key, (e.k).policy_id, (e.k).expires_at
    FROM (SELECT strm.export_keys_of(CASE WHEN $1 OPERATOR(pg_catalog.~) '^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$' THEN NULL ELSE $1::pg_catalog.regclass END,
                                     CASE WHEN $1 OPERATOR(pg_catalog.~) '^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$' THEN $1::pg_catalog.uuid END, $2) AS k) AS e
$function$;
REVOKE ALL ON FUNCTION strm.export_keys(text, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION strm.export_keys(text, timestamptz) TO strm_key_exporter;
COMMENT ON FUNCTION strm.export_keys(text, timestamptz) IS 'The same for a literal: of the batch job group if it reads as a uuid, else of the stream of that name';
