-- Data contracts: life cycle, four eyes, who may. Their faults are in data_contract_faults.
CREATE ROLE regress_strm_ann IN ROLE strm_member;
CREATE ROLE regress_strm_bob IN ROLE strm_member;
CREATE ROLE regress_strm_dpo IN ROLE strm_approver;
CREATE ROLE regress_strm_second_dpo IN ROLE strm_approver, regress_strm_ann;
CREATE ROLE regress_strm_admin IN ROLE strm_admin;
CREATE ROLE regress_strm_nobody;
\set schema '{"name": "Visit", "nodes": [{"type": "STRING", "name": "visit", "required": true, "doc": "one visit"}, {"type": "LONG", "name": "numberOfPages"}, {"type": "FLOAT", "name": "scores", "repeated": true}]}'
\set contract '{"keyField": "visit", "fieldMetadata": [{"fieldName": "visit", "personalDataConfig": {"isPii": true, "purposeLevel": 1}}]}'
CREATE VIEW regress_strm_contracts AS
  SELECT ref, state, title, owner, author, approved_by FROM strm.data_contracts WHERE handle = 'regress' ORDER BY name, major, minor, patch;
GRANT SELECT ON regress_strm_contracts TO PUBLIC;

SET ROLE regress_strm_ann;
SELECT strm.create_data_contract('regress/visit/1.0.0', :'schema', :'contract', 'Visits') > 0 AS created;
SELECT strm.create_data_contract('regress/visit/1.0.0', :'schema', :'contract');
\echo :LAST_ERROR_SQLSTATE
-- a version is three numbers, not a text
SELECT strm.create_data_contract('regress/visit/01.00.000', :'schema', :'contract');
SELECT strm.create_data_contract('regress/visit/1.10.0', :'schema', :'contract') > 0 AS created;
SELECT strm.create_data_contract('regress/visit/1.9.0', :'schema', :'contract') > 0 AS created;
SELECT * FROM regress_strm_contracts;

-- a member defines, others decide
SELECT strm.review_data_contract('regress/visit/1.0.0');
\echo :LAST_ERROR_SQLSTATE
SELECT strm.activate_data_contract('regress/visit/1.0.0');
SET ROLE regress_strm_dpo;
SELECT strm.approve_data_contract('regress/visit/1.0.0');
\echo :LAST_ERROR_SQLSTATE
SELECT strm.archive_data_contract('regress/visit/1.0.0');
SELECT strm.review_data_contract('regress/visit/1.0.0');
SELECT strm.activate_data_contract('regress/visit/1.0.0');

-- who changes a contract in review does not approve it
SELECT strm.alter_data_contract('regress/visit/1.0.0', contract => '{"keyField": "visit", "piiFields": {"visit": 2}}');
SELECT strm.approve_data_contract('regress/visit/1.0.0');
\echo :LAST_ERROR_SQLSTATE
-- not even with another role
RESET ROLE;
SET SESSION AUTHORIZATION regress_strm_second_dpo;
SET ROLE regress_strm_ann;
SELECT strm.alter_data_contract('regress/visit/1.9.0', title => 'Visits again');
RESET ROLE;
SELECT strm.alter_data_contract('regress/visit/1.9.0', contract => '{"keyField": "visit"}');
SET ROLE strm_approver;
SELECT strm.activate_data_contract('regress/visit/1.9.0');
\echo :LAST_ERROR_SQLSTATE
RESET ROLE;
SELECT strm.approve_data_contract('regress/visit/1.0.0');
RESET SESSION AUTHORIZATION;
SELECT * FROM regress_strm_contracts;

-- approved: only title and description change
SET ROLE regress_strm_ann;
SELECT strm.alter_data_contract('regress/visit/1.0.0', schema => :'schema');
\echo :LAST_ERROR_SQLSTATE
SELECT strm.alter_data_contract('regress/visit/1.0.0', title => 'All visits', description => 'of the shop');
SET ROLE regress_strm_dpo;
SELECT strm.activate_data_contract('regress/visit/1.0.0');
SELECT strm.activate_data_contract('regress/visit/1.0.0');
SELECT strm.archive_data_contract('regress/visit/1.0.0');
SELECT strm.activate_data_contract('regress/visit/1.0.0');
SELECT ref, state, title, description, author, approved_by, schema::jsonb ->> 'name' AS schema, contract
  FROM strm.data_contracts WHERE ref = 'regress/visit/1.0.0';

-- straight from draft: a role that may approve and is not the author, or a superuser
SELECT strm.activate_data_contract('regress/visit/1.10.0');
SELECT strm.create_data_contract('regress/visit/2.0.0', :'schema', :'contract') > 0 AS created;
SELECT strm.activate_data_contract('regress/visit/2.0.0');
RESET ROLE;
SELECT strm.create_data_contract('regress/visit/3.0.0', :'schema', :'contract') > 0 AS created;
SELECT strm.activate_data_contract('regress/visit/3.0.0');

-- dropping: the owner or an administrator, and only what never was active
SET ROLE regress_strm_bob;
SELECT strm.drop_data_contract('regress/visit/1.9.0');
\echo :LAST_ERROR_SQLSTATE
SET ROLE regress_strm_ann;
SELECT strm.drop_data_contract('regress/visit/1.9.0');
SELECT strm.drop_data_contract('regress/visit/1.10.0');
SET ROLE regress_strm_admin;
SELECT strm.drop_data_contract('regress/visit/2.0.0');
SELECT strm.drop_data_contract('regress/visit/1.0.0');
SELECT strm.drop_data_contract('regress/visit/9.9.9');
\echo :LAST_ERROR_SQLSTATE
SELECT strm.drop_data_contract('regress/visit');
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM regress_strm_contracts;

-- a schema read off a table
SET ROLE regress_strm_ann;
CREATE TEMP TABLE "Orders" (order_id bigint NOT NULL, "customerName" text, gone int, paid boolean, weights real[], code varchar(10));
ALTER TABLE "Orders" DROP COLUMN gone;
COMMENT ON COLUMN "Orders"."customerName" IS 'as on the "invoice"';
SELECT strm.create_data_contract('regress/orders/1.0.0', schema_from => '"Orders"', contract => '{"keyField": "order_id"}') > 0 AS created;
SELECT jsonb_pretty(schema::jsonb) FROM strm.data_contracts WHERE ref = 'regress/orders/1.0.0';
CREATE TEMP TABLE odd (id uuid, at date, n int);
SELECT strm.create_data_contract('regress/odd/1.0.0', schema_from => 'odd', contract => '{"keyField": "id"}');
RESET ROLE;
CREATE TABLE regress_strm_secret (id int);
SET ROLE regress_strm_ann;
SELECT strm.create_data_contract('regress/odd/1.0.0', schema_from => 'regress_strm_secret', contract => '{"keyField": "id"}');
\echo :LAST_ERROR_SQLSTATE

-- everybody else
SET ROLE regress_strm_nobody;
SELECT strm.create_data_contract('regress/nobody/1.0.0', :'schema', :'contract');
SELECT strm.drop_data_contract('regress/visit/1.0.0');
SELECT count(*) FROM strm.data_contracts;
SELECT count(*) FROM strm.data_contract;
RESET ROLE;
DROP VIEW regress_strm_contracts;
DROP TABLE regress_strm_secret, "Orders", odd;
DROP ROLE regress_strm_ann, regress_strm_bob, regress_strm_dpo, regress_strm_second_dpo, regress_strm_admin, regress_strm_nobody;
