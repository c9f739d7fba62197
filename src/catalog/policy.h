/*
 * policy.h
 *	  Retention policies of data keys: rows of strm.policy, and the built-in default.
 */
#ifndef STRM_CATALOG_POLICY_H
#define STRM_CATALOG_POLICY_H

#include "datatype/timestamp.h"
#include "utils/uuid.h"

#define STRM_POLICY_DEFAULT_NAME "7 years"
#define STRM_POLICY_DEFAULT_DAYS 2556

typedef enum StrmPolicyState
{
	STRM_POLICY_DRAFT,
	STRM_POLICY_ACTIVE,
	STRM_POLICY_ARCHIVED
} StrmPolicyState;

typedef struct StrmPolicy
{
	bool		is_default;		/* the built-in one, which has no id */
	pg_uuid_t	id;
	char	   *name;
	Interval	retention;
	bool		destroy;		/* keys are destroyed when the retention ends */
	StrmPolicyState state;
} StrmPolicy;

/* The policy of that name or uuid; NULL or the default's name: the default. Works for any role. false when none. */
extern bool strm_catalog_policy_find(const char *name_or_id, StrmPolicy *policy);

/* The same; raises 42704 when there is none. */
extern void strm_catalog_policy(const char *name_or_id, StrmPolicy *policy);

/*
 * When the policy of a key ends whose window starts at start: UTC days and months, whatever the session's time zone.
 * Raises 22008 when no timestamp can be that late.
 */
extern TimestampTz strm_catalog_policy_end(const StrmPolicy *policy, TimestampTz start);

/* "draft", "active", "archived" */
extern const char *strm_catalog_policy_state_name(StrmPolicyState state);

#endif							/* STRM_CATALOG_POLICY_H */
