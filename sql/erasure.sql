-- Erasing a data subject whose key link serves other subjects too: the rows go, whatever their table's owner has set up.
SET client_min_messages = warning;
CREATE ROLE regress_strm_erasure_owner IN ROLE strm_member;
CREATE SCHEMA erasure AUTHORIZATION regress_strm_erasure_owner;
SET search_path = erasure, public;
SELECT strm.create_data_contract('erasure/visit/1.0.0',
  schema => '{"name": "Visit", "nodes": [
     {"type": "STRING", "name": "session", "required": true},
     {"type": "STRING", "name": "who"},
     {"type": "INTEGER", "name": "n"}]}',
  contract => '{"keyField": "session", "dataSubjectField": "who", "piiFields": {"session": 1, "who": 1}}') > 0 AS created;
SELECT strm.activate_data_contract('erasure/visit/1.0.0');
SET ROLE regress_strm_erasure_owner;
SELECT strm.create_stream('visits', contract => 'erasure/visit/1.0.0');
CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
RESET ROLE;
SET client_min_messages = notice;

-- a session that knows a subject as registered registers it again after its erasure
INSERT INTO visits (session, who, n) VALUES ('s', 'ann', 1), ('s', 'bob', 2);
SELECT strm.delete_data_subjects('bob');
SELECT n FROM visits ORDER BY n;
SELECT count(*) FROM strm.data_subject_key_links('bob');
INSERT INTO visits (session, who, n) VALUES ('s', 'bob', 3);
SELECT count(*) FROM strm.data_subject_key_links('bob');
SELECT strm.delete_data_subjects('bob');
SELECT n FROM visits ORDER BY n;
-- an erasure that is rolled back changes nothing
INSERT INTO visits (session, who, n) VALUES ('s', 'bob', 4);
BEGIN;
SELECT strm.delete_data_subjects('bob');
INSERT INTO visits (session, who, n) VALUES ('s', 'bob', 5);
SELECT count(*) FROM strm.data_subject_key_links('bob');
ROLLBACK;
SELECT count(*) FROM strm.data_subject_key_links('bob');
INSERT INTO visits (session, who, n) VALUES ('s', 'bob', 6);
SELECT n FROM visits ORDER BY n;

-- a trigger that keeps rows does not make them look erased
SET ROLE regress_strm_erasure_owner;
CREATE TRIGGER keep BEFORE DELETE ON visits FOR EACH ROW EXECUTE FUNCTION keep();
RESET ROLE;
SELECT strm.delete_data_subjects('bob');
SELECT count(*) FROM strm.data_subject_key_links('bob');
DROP TRIGGER keep ON visits;
-- nor does row security that hides them from the owner
SET ROLE regress_strm_erasure_owner;
ALTER TABLE visits ENABLE ROW LEVEL SECURITY;
ALTER TABLE visits FORCE ROW LEVEL SECURITY;
RESET ROLE;
SELECT strm.delete_data_subjects('bob');
SELECT count(*) FROM strm.data_subject_key_links('bob');
ALTER TABLE visits NO FORCE ROW LEVEL SECURITY;
SELECT strm.delete_data_subjects('bob');
SELECT n FROM visits ORDER BY n;

SET client_min_messages = warning;
RESET search_path;
DROP SCHEMA erasure CASCADE;
DROP ROLE regress_strm_erasure_owner;
