/*
 * guard.c
 *	  Event triggers that protect streams.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "commands/event_trigger.h"
#include "fmgr.h"
#include "utils/array.h"

#include "catalog/registry.h"
#include "common/errors.h"
#include "guard/guard.h"
#include "strm_privacy.h"

PG_FUNCTION_INFO_V1(strm_sql_guard_command_start);
PG_FUNCTION_INFO_V1(strm_sql_guard_command_end);
PG_FUNCTION_INFO_V1(strm_sql_guard_drop);
PG_FUNCTION_INFO_V1(strm_sql_guard_rewrite);

static void
strm_guard_require_event(FunctionCallInfo fcinfo)
{
	if (!CALLED_AS_EVENT_TRIGGER(fcinfo))
		ereport(ERROR,
				errcode(ERRCODE_E_R_I_E_EVENT_TRIGGER_PROTOCOL_VIOLATED),
				errmsg("this function can only be called as an event trigger"));
}

/* The OIDs that a query on the event's objects returns as one array. It runs as the extension's owner. */
static List *
strm_guard_relations(const char *sql)
{
	List	   *relids = NIL;
	Datum		array;
	Datum	   *elements;
	bool	   *nulls;
	bool		isnull;
	int			n;

	if (!strm_registry_fetch(sql, 0, NULL, NULL, NULL, &array, &isnull) || isnull)
		return NIL;
	deconstruct_array(DatumGetArrayTypeP(array), OIDOID, sizeof(Oid), true, TYPALIGN_INT, &elements, &nulls, &n);
	for (int i = 0; i < n; i++)
	{
		if (!nulls[i])
			relids = lappend_oid(relids, DatumGetObjectId(elements[i]));
	}
	return relids;
}

/* Does nothing: that it is called has loaded this library, with the hook that refuses to drop the extension. */
Datum
strm_sql_guard_command_start(PG_FUNCTION_ARGS)
{
	strm_guard_require_event(fcinfo);
	PG_RETURN_NULL();
}

/* Relations whose definition changed: checked. */
Datum
strm_sql_guard_command_end(PG_FUNCTION_ARGS)
{
	strm_guard_require_event(fcinfo);
	if (strm_protect_needed())
		strm_protect_check(strm_guard_relations(
			"SELECT array_agg(DISTINCT CASE classid"
			"   WHEN 'pg_class'::regclass THEN objid"
			"   WHEN 'pg_trigger'::regclass THEN (SELECT tgrelid FROM pg_trigger WHERE oid = objid)"
			"   WHEN 'pg_rewrite'::regclass THEN (SELECT ev_class FROM pg_rewrite WHERE oid = objid)"
			"   WHEN 'pg_constraint'::regclass THEN (SELECT conrelid FROM pg_constraint WHERE oid = objid)"
			"   END) FROM pg_event_trigger_ddl_commands()"), false);
	PG_RETURN_NULL();
}

/* Parts of relations that were dropped: the relations are checked. Relations that were dropped: forgotten. */
Datum
strm_sql_guard_drop(PG_FUNCTION_ARGS)
{
	strm_guard_require_event(fcinfo);
	if (!strm_guard_dropped() || !strm_protect_needed())
		PG_RETURN_NULL();

	strm_protect_forget(strm_guard_relations(
		"SELECT array_agg(objid) FROM pg_event_trigger_dropped_objects()"
		" WHERE classid = 'pg_class'::regclass AND objsubid = 0 AND object_type IN ('table', 'view')"));
	strm_protect_check(strm_guard_relations(
		"SELECT array_agg(DISTINCT CASE WHEN objsubid <> 0 THEN objid"
		"   ELSE to_regclass(quote_ident(address_names[1]) || '.' || quote_ident(address_names[2]))::oid END)"
		" FROM pg_event_trigger_dropped_objects()"
		" WHERE objsubid <> 0 OR object_type IN ('trigger', 'table constraint', 'rule')"), true);
	PG_RETURN_NULL();
}

/* Tables whose rows are about to be computed anew; not those that only move to other storage. */
Datum
strm_sql_guard_rewrite(PG_FUNCTION_ARGS)
{
	List	   *relids;
	ListCell   *lc;

	strm_guard_require_event(fcinfo);
	if (!strm_protect_needed())
		PG_RETURN_NULL();
	/* 4: AT_REWRITE_COLUMN_REWRITE. An inbox is not rewritten for another persistence or a default either: 1 and 2. */
	relids = strm_guard_relations("SELECT ARRAY[oid] FROM pg_event_trigger_table_rewrite_oid() AS oid,"
								  " pg_event_trigger_table_rewrite_reason() AS reason"
								  " WHERE reason & 4 <> 0 OR (reason & 3 <> 0 AND"
								  " EXISTS (SELECT FROM strm.inbox WHERE relation = oid))");
	foreach(lc, relids)
		strm_protect_rewrite(lfirst_oid(lc));
	PG_RETURN_NULL();
}
