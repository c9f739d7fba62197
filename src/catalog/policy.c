/*
 * policy.c
 *	  Rows of strm.policy. There are few and they are asked for when something is defined: a scan of the table, not
 *	  cached.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "catalog/cache.h"
#include "catalog/policy.h"
#include "common/errors.h"
#include "common/uuid.h"
#include "strm_privacy.h"

enum
{
	POLICY_ID = 1, POLICY_NAME, POLICY_RETENTION, POLICY_ON_EXPIRY, POLICY_STATE
};

static const char *const state_names[] = {
	[STRM_POLICY_DRAFT] = "draft",
	[STRM_POLICY_ACTIVE] = "active",
	[STRM_POLICY_ARCHIVED] = "archived",
};

const char *
strm_catalog_policy_state_name(StrmPolicyState state)
{
	return state_names[state];
}

static void
strm_policy_default(StrmPolicy *policy)
{
	memset(policy, 0, sizeof(StrmPolicy));
	policy->is_default = true;
	policy->name = STRM_POLICY_DEFAULT_NAME;
	policy->retention.day = STRM_POLICY_DEFAULT_DAYS;
	policy->state = STRM_POLICY_ACTIVE;
}

/* All columns read here are NOT NULL. */
static void
strm_policy_of_tuple(HeapTuple tuple, TupleDesc desc, StrmPolicy *policy)
{
	bool		isnull;
	char	   *state = TextDatumGetCString(heap_getattr(tuple, POLICY_STATE, desc, &isnull));

	memset(policy, 0, sizeof(StrmPolicy));
	policy->id = *DatumGetUUIDP(heap_getattr(tuple, POLICY_ID, desc, &isnull));
	policy->name = TextDatumGetCString(heap_getattr(tuple, POLICY_NAME, desc, &isnull));
	policy->retention = *DatumGetIntervalP(heap_getattr(tuple, POLICY_RETENTION, desc, &isnull));
	policy->destroy = strcmp(TextDatumGetCString(heap_getattr(tuple, POLICY_ON_EXPIRY, desc, &isnull)), "destroy") == 0;
	for (int i = 0; i < lengthof(state_names); i++)
	{
		if (strcmp(state_names[i], state) == 0)
			policy->state = i;
	}
}

/* Is name_or_id the policy's name, or its uuid in the usual spelling? No name can have the form of a uuid. */
static bool
strm_policy_is(const StrmPolicy *policy, const char *name_or_id)
{
	char	   *id = strm_uuid_text(&policy->id);

	return strcmp(policy->name, name_or_id) == 0 || pg_strcasecmp(id, name_or_id) == 0;
}

bool
strm_catalog_policy_find(const char *name_or_id, StrmPolicy *policy)
{
	Relation	table;
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		found = false;

	if (name_or_id == NULL || strcmp(name_or_id, STRM_POLICY_DEFAULT_NAME) == 0)
	{
		strm_policy_default(policy);
		return true;
	}

	table = table_open(strm_catalog_table(STRM_TABLE_POLICY), AccessShareLock);
	scan = systable_beginscan(table, InvalidOid, false, NULL, 0, NULL);
	while (!found && HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		strm_policy_of_tuple(tuple, RelationGetDescr(table), policy);
		found = strm_policy_is(policy, name_or_id);
	}
	systable_endscan(scan);
	table_close(table, AccessShareLock);
	return found;
}

void
strm_catalog_policy(const char *name_or_id, StrmPolicy *policy)
{
	if (!strm_catalog_policy_find(name_or_id, policy))
		ereport(ERROR,
				errcode(STRM_ERR_UNDEFINED),
				errmsg("policy \"%s\" does not exist", name_or_id),
				errhint("strm.policies lists the policies."));
}

/* A timestamp without time zone is of UTC here. */
TimestampTz
strm_catalog_policy_end(const StrmPolicy *policy, TimestampTz start)
{
	return DatumGetTimestamp(DirectFunctionCall2(timestamp_pl_interval, TimestampGetDatum(start),
												 IntervalPGetDatum(&policy->retention)));
}
