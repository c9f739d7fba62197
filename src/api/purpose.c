/*
 * purpose.c
 *	  strm.create_purpose. EXECUTE is for roles that may define purposes.
 */
#include "postgres.h"

#include "catalog/pg_type.h"

#include "api/args.h"
#include "catalog/purpose.h"
#include "catalog/registry.h"
#include "common/errors.h"
#include "strm_privacy.h"

PG_FUNCTION_INFO_V1(strm_sql_create_purpose);

/* The level after the highest, or 0. Other creators wait until the transaction ends, so that the level stays free. */
static int32
strm_purpose_next_level(void)
{
	Datum		level;
	bool		isnull;

	(void) strm_registry_execute("LOCK TABLE strm.purpose IN SHARE ROW EXCLUSIVE MODE", 0, NULL, NULL, NULL);
	(void) strm_registry_fetch("SELECT coalesce(max(level) + 1, 0) FROM strm.purpose", 0, NULL, NULL, NULL,
							   &level, &isnull);
	return DatumGetInt32(level);
}

/* strm.create_purpose(level int4, name text, description text) RETURNS int4 */
Datum
strm_sql_create_purpose(PG_FUNCTION_ARGS)
{
	char	   *name = strm_args_text(fcinfo, 1, "name");
	int32		level = PG_ARGISNULL(0) ? -1 : PG_GETARG_INT32(0);
	StrmRegistryArgs args = {0};

	if (!PG_ARGISNULL(0) && level < 0)
		ereport(ERROR,
				errcode(STRM_ERR_ARGUMENT),
				errmsg("a purpose level must not be negative"));
	strm_args_check_label(name, "purpose name", 2, 100);
	if (PG_ARGISNULL(0))
		level = strm_purpose_next_level();

	strm_registry_add(&args, INT4OID, Int32GetDatum(level), false);
	strm_registry_add_text(&args, name);
	strm_registry_add_text(&args, strm_args_text_or_null(fcinfo, 2));
	strm_registry_add_text(&args, strm_args_current_role());
	if (strm_registry_execute("INSERT INTO strm.purpose (level, name, description, created_by)"
							  " VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING", STRM_REGISTRY_ARGS(&args)) == 0)
	{
		if (strm_catalog_purpose_exists(level))
			ereport(ERROR,
					errcode(STRM_ERR_DUPLICATE),
					errmsg("purpose %d already exists", level));
		ereport(ERROR,
				errcode(STRM_ERR_DUPLICATE),
				errmsg("purpose \"%s\" already exists", name));
	}
	PG_RETURN_INT32(level);
}
