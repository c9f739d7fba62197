/*
 * policy.c
 *	  strm.create_policy and the life cycle of policies. EXECUTE is for roles that may define policies.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "api/args.h"
#include "catalog/policy.h"
#include "catalog/registry.h"
#include "common/errors.h"
#include "common/uuid.h"
#include "strm_privacy.h"

PG_FUNCTION_INFO_V1(strm_sql_create_policy);
PG_FUNCTION_INFO_V1(strm_sql_activate_policy);
PG_FUNCTION_INFO_V1(strm_sql_archive_policy);
PG_FUNCTION_INFO_V1(strm_sql_drop_policy);

/* A policy is named by name or uuid, so no name may read as a uuid; and the default's name is taken. */
static void
strm_policy_check_name(const char *name)
{
	size_t		size = strlen(name);

	strm_args_check_label(name, "policy name", 1, 100);
	if (size == 36 && strspn(name, "0123456789abcdefABCDEF-") == size)
		ereport(ERROR,
				errcode(STRM_ERR_ARGUMENT),
				errmsg("a policy name must not have the form of a uuid"));
	if (strcmp(name, STRM_POLICY_DEFAULT_NAME) == 0)
		ereport(ERROR,
				errcode(STRM_ERR_DUPLICATE),
				errmsg("policy \"%s\" already exists", name),
				errdetail("It is the built-in default policy."));
}

static void
strm_policy_check_retention(Interval *retention)
{
	Interval	day = {.day = 1};

	if (DatumGetBool(DirectFunctionCall2(interval_lt, IntervalPGetDatum(retention), IntervalPGetDatum(&day))))
		ereport(ERROR,
				errcode(STRM_ERR_ARGUMENT),
				errmsg("the retention of a policy must be at least 1 day"));
}

/* Raises if there is a policy with the id that the caller chose. */
static void
strm_policy_check_id(pg_uuid_t *id)
{
	StrmPolicy	existing;

	if (strm_catalog_policy_find(strm_uuid_text(id), &existing))
		ereport(ERROR,
				errcode(STRM_ERR_DUPLICATE),
				errmsg("policy \"%s\" already exists", strm_uuid_text(id)),
				errdetail("Its name is \"%s\".", existing.name));
}

/*
 * strm.create_policy(name text, retention interval, description text, legal_grounds text, on_expiry text, id uuid)
 * RETURNS uuid
 */
Datum
strm_sql_create_policy(PG_FUNCTION_ARGS)
{
	char	   *name = strm_args_text(fcinfo, 0, "name");
	char	   *on_expiry = strm_args_text(fcinfo, 4, "on_expiry");
	StrmRegistryArgs args = {0};
	Datum		id;
	bool		isnull;

	strm_policy_check_name(name);
	strm_args_require(fcinfo, 1, "retention");
	strm_policy_check_retention(PG_GETARG_INTERVAL_P(1));
	if (strcmp(on_expiry, "retain") != 0 && strcmp(on_expiry, "destroy") != 0)
		ereport(ERROR,
				errcode(STRM_ERR_ARGUMENT),
				errmsg("on_expiry must be \"retain\" or \"destroy\", not \"%s\"", on_expiry));
	if (!PG_ARGISNULL(5))
		strm_policy_check_id(PG_GETARG_UUID_P(5));

	strm_registry_add_text(&args, name);
	strm_registry_add(&args, INTERVALOID, PG_GETARG_DATUM(1), false);
	strm_registry_add_text(&args, strm_args_text_or_null(fcinfo, 2));
	strm_registry_add_text(&args, strm_args_text_or_null(fcinfo, 3));
	strm_registry_add_text(&args, on_expiry);
	strm_registry_add_text(&args, strm_args_current_role());
	strm_registry_add(&args, UUIDOID, PG_GETARG_DATUM(5), PG_ARGISNULL(5));
	if (!strm_registry_fetch("INSERT INTO strm.policy"
							 " (name, retention, description, legal_grounds, on_expiry, created_by, id)"
							 " VALUES ($1, $2, $3, $4, $5, $6, COALESCE($7, gen_random_uuid())) ON CONFLICT DO NOTHING RETURNING id",
							 STRM_REGISTRY_ARGS(&args), &id, &isnull))
		ereport(ERROR,
				errcode(STRM_ERR_DUPLICATE),
				errmsg("policy \"%s\" already exists", name));
	PG_RETURN_DATUM(id);
}

/* The policy that an argument names; the built-in one cannot be changed. */
static void
strm_policy_argument(FunctionCallInfo fcinfo, StrmPolicy *policy)
{
	strm_catalog_policy(strm_args_text(fcinfo, 0, "policy"), policy);
	if (policy->is_default)
		ereport(ERROR,
				errcode(STRM_ERR_STATE),
				errmsg("the built-in default policy cannot be changed"),
				errhint("Use strm.create_policy() to make another one."));
}

static void
strm_policy_refuse(const StrmPolicy *policy, const char *verb)
{
	ereport(ERROR,
			errcode(STRM_ERR_STATE),
			errmsg("policy \"%s\" cannot be %s", policy->name, verb),
			errdetail("It is %s.", strm_catalog_policy_state_name(policy->state)));
}

/*
 * Runs a statement on the row, $1 its id and $2 the state it was judged by: 0 rows when another transaction changed it
 * meanwhile.
 */
static void
strm_policy_write(const StrmPolicy *policy, const char *sql, const char *verb)
{
	StrmRegistryArgs args = {0};

	strm_registry_add(&args, UUIDOID, UUIDPGetDatum(&policy->id), false);
	strm_registry_add_text(&args, strm_catalog_policy_state_name(policy->state));
	if (strm_registry_execute(sql, STRM_REGISTRY_ARGS(&args)) == 0)
		ereport(ERROR,
				errcode(STRM_ERR_STATE),
				errmsg("policy \"%s\" cannot be %s", policy->name, verb),
				errdetail("Another transaction changed it meanwhile."));
}

/* strm.activate_policy(policy text) RETURNS void */
Datum
strm_sql_activate_policy(PG_FUNCTION_ARGS)
{
	StrmPolicy	policy;

	strm_policy_argument(fcinfo, &policy);
	if (policy.state == STRM_POLICY_ACTIVE)
		strm_policy_refuse(&policy, "activated");
	strm_policy_write(&policy, "UPDATE strm.policy SET state = 'active' WHERE id = $1 AND state = $2", "activated");
	PG_RETURN_VOID();
}

/* strm.archive_policy(policy text) RETURNS void */
Datum
strm_sql_archive_policy(PG_FUNCTION_ARGS)
{
	StrmPolicy	policy;

	strm_policy_argument(fcinfo, &policy);
	if (policy.state != STRM_POLICY_ACTIVE)
		strm_policy_refuse(&policy, "archived");
	strm_policy_write(&policy, "UPDATE strm.policy SET state = 'archived' WHERE id = $1 AND state = $2", "archived");
	PG_RETURN_VOID();
}

/*
 * Raises if a stream or batch job group has the policy. One that is being created holds the row with FOR KEY SHARE:
 * waits for it, so that the statements after that see it.
 */
static void
strm_policy_check_unused(StrmPolicy *policy)
{
	StrmRegistryArgs args = {0};
	Datum		result;
	bool		isnull;

	strm_registry_add(&args, UUIDOID, UUIDPGetDatum(&policy->id), false);
	strm_registry_execute("SELECT FROM strm.policy WHERE id = $1 FOR UPDATE", STRM_REGISTRY_ARGS(&args));
	if (strm_registry_fetch("SELECT relation FROM strm.stream WHERE policy_id = $1 LIMIT 1", STRM_REGISTRY_ARGS(&args),
							&result, &isnull))
		ereport(ERROR,
				errcode(STRM_ERR_STATE),
				errmsg("policy \"%s\" cannot be dropped", policy->name),
				errdetail("Stream \"%s\" has it.", get_rel_name(DatumGetObjectId(result))));
	if (strm_registry_fetch("SELECT id FROM strm.batch_job_group WHERE policy_id = $1 LIMIT 1",
							STRM_REGISTRY_ARGS(&args), &result, &isnull))
		ereport(ERROR,
				errcode(STRM_ERR_STATE),
				errmsg("policy \"%s\" cannot be dropped", policy->name),
				errdetail("Batch job group %s has it.", strm_uuid_text(DatumGetUUIDP(result))));
}

/* strm.drop_policy(policy text) RETURNS void */
Datum
strm_sql_drop_policy(PG_FUNCTION_ARGS)
{
	StrmPolicy	policy;

	strm_policy_argument(fcinfo, &policy);
	if (policy.state == STRM_POLICY_ACTIVE)
		strm_policy_refuse(&policy, "dropped");
	strm_policy_check_unused(&policy);
	strm_policy_write(&policy, "DELETE FROM strm.policy WHERE id = $1 AND state = $2", "dropped");
	PG_RETURN_VOID();
}
