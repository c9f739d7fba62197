/*
 * registry.c
 *	  Statements on the extension's own tables, run as their owner.
 *
 *	  The statement runs in a security-restricted operation with search_path pinned, as a function with SECURITY DEFINER
 *	  and SET search_path would. User, context flags and settings come back on return; on an error, (sub)transaction
 *	  abort brings them back.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"

#include "catalog/cache.h"
#include "catalog/registry.h"
#include "common/errors.h"
#include "strm_privacy.h"

/* What strm_registry_enter changed. */
typedef struct StrmRegistryScope
{
	Oid			user;
	int			security_context;
	int			guc_level;
} StrmRegistryScope;

static void
strm_registry_enter(StrmRegistryScope *scope)
{
	Oid			owner = strm_catalog_owner();

	GetUserIdAndSecContext(&scope->user, &scope->security_context);
	SetUserIdAndSecContext(owner, scope->security_context |
						   SECURITY_LOCAL_USERID_CHANGE | SECURITY_RESTRICTED_OPERATION);
	scope->guc_level = NewGUCNestLevel();
	(void) set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
}

static void
strm_registry_leave(const StrmRegistryScope *scope)
{
	AtEOXact_GUC(true, scope->guc_level);
	SetUserIdAndSecContext(scope->user, scope->security_context);
}

/* Connects to SPI and runs the statement; its result stays in SPI_tuptable until SPI_finish. */
static void
strm_registry_run(const char *sql, int nargs, Oid *types, Datum *values, const char *nulls)
{
	int			result;

	SPI_connect();
	result = SPI_execute_with_args(sql, nargs, types, values, nulls, false, 0);
	if (result < 0)
		ereport(ERROR,
				errcode(STRM_ERR_INTERNAL),
				errmsg("a statement on the registry failed: %s", SPI_result_code_string(result)));
}

uint64
strm_registry_execute(const char *sql, int nargs, Oid *types, Datum *values, const char *nulls)
{
	StrmRegistryScope scope;
	uint64		processed;

	strm_registry_enter(&scope);
	strm_registry_run(sql, nargs, types, values, nulls);
	processed = SPI_processed;
	SPI_finish();
	strm_registry_leave(&scope);
	return processed;
}

bool
strm_registry_fetch(const char *sql, int nargs, Oid *types, Datum *values, const char *nulls,
					Datum *result, bool *isnull)
{
	StrmRegistryScope scope;
	bool		found;

	*result = (Datum) 0;
	*isnull = true;
	strm_registry_enter(&scope);
	strm_registry_run(sql, nargs, types, values, nulls);
	found = SPI_processed > 0 && SPI_tuptable != NULL;
	if (found)
	{
		Form_pg_attribute column = TupleDescAttr(SPI_tuptable->tupdesc, 0);
		Datum		value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, isnull);

		if (!*isnull)
			*result = SPI_datumTransfer(value, column->attbyval, column->attlen);
	}
	SPI_finish();
	strm_registry_leave(&scope);
	return found;
}

void
strm_registry_add(StrmRegistryArgs *args, Oid type, Datum value, bool isnull)
{
	if (args->count == STRM_REGISTRY_MAX_ARGS)
		ereport(ERROR,
				errcode(STRM_ERR_INTERNAL),
				errmsg("a statement on the registry has more than %d parameters", STRM_REGISTRY_MAX_ARGS));
	args->types[args->count] = type;
	args->values[args->count] = value;
	args->nulls[args->count] = isnull ? 'n' : ' ';
	args->count++;
}

void
strm_registry_add_text(StrmRegistryArgs *args, const char *value)
{
	strm_registry_add(args, TEXTOID, value == NULL ? (Datum) 0 : CStringGetTextDatum(value), value == NULL);
}

/* Copies SPI's result into the memory context that called SPI_connect. */
static StrmRegistryRows *
strm_registry_copy(void)
{
	TupleDesc	desc = SPI_tuptable->tupdesc;
	StrmRegistryRows *rows = SPI_palloc(sizeof(StrmRegistryRows));

	rows->n = SPI_processed;
	rows->ncolumns = desc->natts;
	rows->values = SPI_palloc(Max(rows->n * desc->natts, 1) * sizeof(Datum));
	rows->nulls = SPI_palloc(Max(rows->n * desc->natts, 1) * sizeof(bool));
	for (uint64 i = 0; i < rows->n; i++)
	{
		for (int j = 0; j < desc->natts; j++)
		{
			Form_pg_attribute column = TupleDescAttr(desc, j);
			uint64		at = i * desc->natts + j;
			Datum		value = SPI_getbinval(SPI_tuptable->vals[i], desc, j + 1, &rows->nulls[at]);

			rows->values[at] = rows->nulls[at] ? (Datum) 0 : SPI_datumTransfer(value, column->attbyval, column->attlen);
		}
	}
	return rows;
}

StrmRegistryRows *
strm_registry_select(const char *sql, int nargs, Oid *types, Datum *values, const char *nulls)
{
	StrmRegistryScope scope;
	StrmRegistryRows *rows;

	strm_registry_enter(&scope);
	strm_registry_run(sql, nargs, types, values, nulls);
	rows = strm_registry_copy();
	SPI_finish();
	strm_registry_leave(&scope);
	return rows;
}
