/*
 * rights.c
 *	  May the current user do what a batch job asks for? And whose are its keys?
 *
 *	  Asked when a job is created and again when it runs, because rights may have been taken away meanwhile.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"

#include "batch/run_private.h"
#include "catalog/contract.h"
#include "catalog/registry.h"
#include "common/errors.h"
#include "common/uuid.h"
#include "strm_privacy.h"

static bool
strm_batch_rights_has(const char *role)
{
	Oid			roleid = get_role_oid(role, true);

	return superuser() || (OidIsValid(roleid) && has_privs_of_role(GetUserId(), roleid));
}

/* The group's row: false when there is none. */
static bool
strm_batch_group_find(const pg_uuid_t *group, Oid *owner, char **policy)
{
	StrmRegistryArgs args = {0};
	StrmRegistryRows *rows;

	strm_registry_add(&args, UUIDOID, UUIDPGetDatum(group), false);
	rows = strm_registry_select("SELECT owner::pg_catalog.oid, policy_id FROM strm.batch_job_group WHERE id = $1",
								STRM_REGISTRY_ARGS(&args));
	if (rows->n == 0)
		return false;
	*owner = DatumGetObjectId(rows->values[0]);
	*policy = rows->nulls[1] ? NULL : strm_uuid_text(DatumGetUUIDP(rows->values[1]));
	return true;
}

/* Are there keys of an id that no group has? Then they are of something else: a dropped stream, or internal ones. */
static bool
strm_batch_group_is_taken(const pg_uuid_t *group)
{
	StrmRegistryArgs args = {0};

	strm_registry_add(&args, UUIDOID, UUIDPGetDatum(group), false);
	return strm_registry_execute("SELECT WHERE $1 = '00000000-0000-0000-0000-000000000000'"
								 " OR EXISTS (SELECT FROM strm.data_key WHERE owner = $1)"
								 " OR EXISTS (SELECT FROM strm.data_key_tombstone WHERE owner = $1)",
								 STRM_REGISTRY_ARGS(&args)) > 0;
}

/* Is the group the current user's, and of the policy that the job names, if it names one? */
static void
strm_batch_group_check(const StrmBatchJob *job, StrmFaults *faults)
{
	StrmPolicy	of_group;
	StrmPolicy	of_job;
	Oid			owner;
	char	   *policy;

	if (strm_batch_group_find(&job->group, &owner, &policy))
	{
		if (!superuser() && !has_privs_of_role(GetUserId(), owner))
			strm_faults_add(faults, "encryption.batch_job_group_id: the group belongs to another role");
		else if (job->policy != NULL)
		{
			strm_catalog_policy(policy, &of_group);
			strm_catalog_policy(job->policy, &of_job);
			if (of_group.is_default != of_job.is_default ||
				memcmp(of_group.id.data, of_job.id.data, UUID_LEN) != 0)
				strm_faults_add(faults, "policy_id: the job's group has policy \"%s\"", of_group.name);
		}
	}
	else if (strm_batch_group_is_taken(&job->group))
		strm_faults_add(faults, "encryption.batch_job_group_id: there are keys of that id, which is no group's");
}

/* May the user insert into the stream? That it fits the job was seen when the configuration was read. */
static void
strm_batch_rights_stream(const StrmBatchJob *job, StrmFaults *faults)
{
	const char *name = job->encrypted.stream;

	if (pg_class_aclcheck(strm_batch_target_stream(name)->relid, GetUserId(), ACL_INSERT) != ACLCHECK_OK)
		strm_faults_add(faults, "%s: permission denied to insert into stream \"%s\"", job->encrypted.member, name);
}

void
strm_batch_rights_check(const StrmBatchJob *job, StrmFaults *faults)
{
	if (job->contract->state != STRM_CONTRACT_ACTIVE)
		strm_faults_add(faults, "data contract \"%s\" is not active: it is %s", strm_contract_ref(job->contract),
						strm_catalog_contract_state_name(job->contract->state));
	if (!strm_batch_rights_has("strm_member") && !strm_batch_rights_has("strm_approver") &&
		!strm_batch_rights_has("strm_admin"))
		strm_faults_add(faults, "batch jobs need role strm_member, strm_approver or strm_admin");
	if (job->nderived > 0 && !strm_batch_rights_has("strm_approver"))
		strm_faults_add(faults, "derived_data needs role strm_approver");
	if (job->has_keys && !strm_batch_rights_has("strm_key_exporter"))
		strm_faults_add(faults, "encryption_keys_data needs role strm_key_exporter");
	if (job->has_encrypted && job->encrypted.stream != NULL)
		strm_batch_rights_stream(job, faults);
	if (job->has_group)
		strm_batch_group_check(job, faults);
}

/* The keys are a stream's, of the stream's policy. */
static void
strm_batch_group_of_stream(StrmBatchRun *run)
{
	const StrmStream *stream = strm_batch_target_stream(run->job->encrypted.stream);
	StrmRegistryArgs args = {0};
	Datum		policy;
	bool		isnull;

	run->key_owner = stream->id;
	strm_registry_add(&args, UUIDOID, UUIDPGetDatum(&run->key_owner), false);
	(void) strm_registry_fetch("SELECT policy_id FROM strm.stream WHERE id = $1", STRM_REGISTRY_ARGS(&args),
							   &policy, &isnull);
	strm_catalog_policy(isnull ? NULL : strm_uuid_text(DatumGetUUIDP(policy)), &run->policy);
}

void
strm_batch_group_make(const StrmBatchJob *job, const pg_uuid_t *group)
{
	StrmRegistryArgs args = {0};
	StrmPolicy	policy;

	strm_catalog_policy(job->policy, &policy);
	strm_registry_add(&args, UUIDOID, UUIDPGetDatum(group), false);
	strm_registry_add(&args, OIDOID, ObjectIdGetDatum(GetUserId()), false);
	strm_registry_add(&args, UUIDOID, UUIDPGetDatum(&policy.id), policy.is_default);
	/* strm.drop_policy() waits for this transaction, and then sees the group */
	(void) strm_registry_execute("SELECT FROM strm.policy WHERE id = $3 FOR KEY SHARE",
								 STRM_REGISTRY_ARGS(&args));
	(void) strm_registry_execute("INSERT INTO strm.batch_job_group (id, owner, policy_id)"
								 " VALUES ($1, $2::pg_catalog.regrole, $3) ON CONFLICT (id) DO NOTHING",
								 STRM_REGISTRY_ARGS(&args));
}

void
strm_batch_group_take(StrmBatchRun *run)
{
	const StrmBatchJob *job = run->job;
	Oid			owner;
	char	   *of_group;

	if (job->has_encrypted && job->encrypted.stream != NULL)
	{
		strm_batch_group_of_stream(run);
		return;
	}
	run->key_owner = job->has_group ? job->group : run->job_id;
	strm_batch_group_make(job, &run->key_owner);
	if (!strm_batch_group_find(&run->key_owner, &owner, &of_group))
		ereport(ERROR,
				errcode(STRM_ERR_STATE),
				errmsg("the batch job's group is being dropped"));
	if (!superuser() && !has_privs_of_role(GetUserId(), owner))
		ereport(ERROR,
				errcode(STRM_ERR_PRIVILEGE),
				errmsg("the batch job's group belongs to another role"));
	strm_catalog_policy(of_group, &run->policy);
}
