-- Policies: definition, life cycle, who may.
CREATE ROLE regress_strm_dpo IN ROLE strm_approver;
CREATE ROLE regress_strm_member IN ROLE strm_member;
SELECT id, name, retention, on_expiry, state FROM strm.policies WHERE id IS NULL;

SET ROLE regress_strm_dpo;
SELECT strm.create_policy('short', '30 days', 'Support tickets', 'legitimate interest', 'destroy') AS short \gset
SELECT pg_typeof(:'short'::uuid);
SELECT strm.create_policy(name => 'long', retention => '10 years') IS NOT NULL AS created;
SELECT name, retention, on_expiry, state, description, legal_grounds, created_by FROM strm.policies
  WHERE id IS NOT NULL ORDER BY name;

-- faults
SELECT strm.create_policy('short', '1 day');
\echo :LAST_ERROR_SQLSTATE
SELECT strm.create_policy('7 years', '1 day');
SELECT strm.create_policy('hours', '23 hours');
\echo :LAST_ERROR_SQLSTATE
SELECT strm.create_policy('', '1 day');
SELECT strm.create_policy('odd', '1 day', on_expiry => 'burn');
SELECT strm.create_policy('odd', NULL);
SELECT strm.create_policy('123E4567-e89b-12d3-a456-426614174000', '1 day');

-- with an id from elsewhere
SELECT strm.create_policy('moved', '1 day', id => '123e4567-e89b-12d3-a456-426614174000');
SELECT strm.create_policy('again', '1 day', id => '123e4567-e89b-12d3-a456-426614174000');
SELECT strm.create_policy('moved', '1 day', id => '123e4567-e89b-12d3-a456-426614174001');
SELECT strm.drop_policy('123e4567-e89b-12d3-a456-426614174000');

-- draft, active, archived and back; by name or id
SELECT strm.archive_policy('short');
\echo :LAST_ERROR_SQLSTATE
SELECT strm.activate_policy('short');
SELECT strm.activate_policy('short');
SELECT strm.drop_policy('short');
SELECT strm.archive_policy(:'short');
SELECT strm.activate_policy(upper(:'short'));
SELECT strm.archive_policy('short');
SELECT name, state FROM strm.policies WHERE id IS NOT NULL ORDER BY name;
SELECT strm.drop_policy('short');
SELECT strm.drop_policy('long');
SELECT strm.drop_policy('long');
\echo :LAST_ERROR_SQLSTATE
SELECT strm.archive_policy('7 years');
SELECT strm.activate_policy(NULL);

-- who may
SET ROLE regress_strm_member;
SELECT name FROM strm.policies;
SELECT strm.create_policy('mine', '1 day');
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM strm.policy;
RESET ROLE;
DROP ROLE regress_strm_dpo, regress_strm_member;
