-- Data subjects: finding and erasing them. For strm_approver.

CREATE FUNCTION strm.data_subject_key_links(VARIADIC subjects text[])
  RETURNS TABLE (subject text, stream regclass, batch_job_group uuid, key_link uuid, window_start timestamptz, window_end timestamptz, expires_at timestamptz)
  LANGUAGE c STABLE STRICT AS 'MODULE_PATHNAME', 'strm_sql_data_subject_key_links';
REVOKE ALL ON FUNCTION strm.data_subject_key_links(text[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION strm.data_subject_key_links(text[]) TO strm_approver;
COMMENT ON FUNCTION strm.data_subject_key_links(text[]) IS 'The key links under which rows and records of these data subjects were written: subject, stream or batch job group, key link, the window in which the key encrypted (of a group: the day of the records), and when its policy ends. Subjects are compared exactly';

CREATE FUNCTION strm.data_subjects(after text DEFAULT NULL, max_rows int DEFAULT 1000)
  RETURNS TABLE (subject text, key_links bigint)
  LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'strm_sql_data_subjects';
REVOKE ALL ON FUNCTION strm.data_subjects(text, int) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION strm.data_subjects(text, int) TO strm_approver;
COMMENT ON FUNCTION strm.data_subjects(text, int) IS 'Data subjects that have key links, and how many, in an order that does not change: pass the last subject of a page as after to get the next page. max_rows: 1 to 100000';

CREATE FUNCTION strm.delete_data_subjects(VARIADIC subjects text[]) RETURNS bigint
  LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'strm_sql_delete_data_subjects';
REVOKE ALL ON FUNCTION strm.delete_data_subjects(text[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION strm.delete_data_subjects(text[]) TO strm_approver;
COMMENT ON FUNCTION strm.delete_data_subjects(text[]) IS 'Destroys the keys of these data subjects: what was encrypted under them reads as NULL ever after, in every copy. A key link that serves other data subjects too is kept; the subject''s rows under it are deleted instead, and a notice says how many. Files of batch jobs cannot be changed: of a batch job group''s key link that serves others only the subject''s entry is removed, and a notice says how many such key links there are. Waits first until rows that are queued in inboxes are in their streams; 55000 when they do not get there. Rows of the data subjects that were set aside in inboxes are deleted, and a notice says how many. Returns the number of key links destroyed';

