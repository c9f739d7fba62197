-- Purposes: levels and names, who may define them. Rolled back: purposes are never dropped.
\set ON_ERROR_ROLLBACK on
CREATE ROLE regress_strm_dpo IN ROLE strm_approver;
CREATE ROLE regress_strm_member IN ROLE strm_member;
BEGIN;
SET LOCAL ROLE regress_strm_dpo;
SELECT strm.create_purpose(10, 'Research', 'Scientific research');
-- NULL: the level after the highest
SELECT strm.create_purpose(NULL, 'Support');
SELECT strm.create_purpose(level => 0, name => 'Operation');
SELECT level, name, description, created_by FROM strm.purposes WHERE created_by = 'regress_strm_dpo' ORDER BY level;

-- faults
SELECT strm.create_purpose(10, 'Something else');
\echo :LAST_ERROR_SQLSTATE
SELECT strm.create_purpose(20, 'Research');
\echo :LAST_ERROR_SQLSTATE
SELECT strm.create_purpose(-1, 'Negative');
\echo :LAST_ERROR_SQLSTATE
SELECT strm.create_purpose(20, 'x');
SELECT strm.create_purpose(20, repeat('é', 101));
SELECT strm.create_purpose(20, repeat('é', 100));
SELECT strm.create_purpose(21, E'tab\there');
SELECT strm.create_purpose(21, NULL);

-- who may
SET LOCAL ROLE regress_strm_member;
SELECT count(*) > 0 AS sees FROM strm.purposes;
SELECT strm.create_purpose(30, 'Not mine');
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM strm.purpose;
RESET ROLE;
-- a search_path and operators of the caller have no effect on what runs as the owner
CREATE SCHEMA regress_strm_trap;
CREATE FUNCTION regress_strm_trap.coalesce_trap(int4, int4) RETURNS int4 LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'trapped'; END $$;
CREATE OPERATOR regress_strm_trap.+ (LEFTARG = int4, RIGHTARG = int4, FUNCTION = regress_strm_trap.coalesce_trap);
SET LOCAL search_path = regress_strm_trap, pg_catalog;
SELECT strm.create_purpose(NULL, 'Careful') > 0 AS created;
SHOW search_path;
ROLLBACK;
DROP ROLE regress_strm_dpo, regress_strm_member;
