/*
 * simulate.c
 *	  SQL entry point of the simulator.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/fmgrprotos.h"

#include "api/args.h"
#include "catalog/registry.h"
#include "common/errors.h"
#include "ingest/simulate.h"
#include "strm_privacy.h"

PG_FUNCTION_INFO_V1(strm_sql_simulate_random_events);

/*
 * The consents that events choose from: none, the lowest purpose, the two lowest, and so on to all, as texts of int4[].
 * With the purposes 0 to 3 these are {}, {0}, {0,1}, {0,1,2} and {0,1,2,3}.
 */
static char **
strm_simulate_consents(int *count)
{
	Datum		array;
	bool		isnull;
	Datum	   *levels = NULL;
	int			nlevels = 0;
	char	  **consents;
	StringInfoData list;

	(void) strm_registry_fetch("SELECT pg_catalog.array_agg(level ORDER BY level) FROM strm.purpose",
							   0, NULL, NULL, NULL, &array, &isnull);
	if (!isnull)
		deconstruct_array(DatumGetArrayTypeP(array), INT4OID, sizeof(int32), true, TYPALIGN_INT,
						  &levels, NULL, &nlevels);

	consents = palloc(mul_size(1 + nlevels, sizeof(char *)));
	consents[0] = "{}";
	initStringInfo(&list);
	for (int i = 0; i < nlevels; i++)
	{
		appendStringInfo(&list, "%s%d", i > 0 ? "," : "", DatumGetInt32(levels[i]));
		consents[1 + i] = psprintf("{%s}", list.data);
	}
	*count = 1 + nlevels;
	return consents;
}

/*
 * strm.simulate_random_events(stream regclass, events bigint, sessions int) RETURNS bigint
 *
 * Inserts as the caller, who needs INSERT on the stream. All that is random comes from random()'s generator, so that it
 * repeats after setseed(); except the nonces and key links, which are the insert trigger's.
 */
Datum
strm_sql_simulate_random_events(PG_FUNCTION_ARGS)
{
	const StrmStream *stream = strm_args_stream(PG_GETARG_OID(0));
	int64		events = PG_GETARG_INT64(1);
	int32		sessions = PG_GETARG_INT32(2);
	char	  **consents;
	int			nconsents;
	double		seed;

	if (events < 0)
		ereport(ERROR,
				errcode(STRM_ERR_ARGUMENT),
				errmsg("events must not be negative"));
	if (sessions < 1)
		ereport(ERROR,
				errcode(STRM_ERR_ARGUMENT),
				errmsg("sessions must be at least 1"));

	consents = strm_simulate_consents(&nconsents);
	seed = DatumGetFloat8(DirectFunctionCall1(drandom, (Datum) 0));
	PG_RETURN_INT64(strm_simulate(stream, events, sessions, (uint64) (seed * (double) (UINT64CONST(1) << 48)),
								  consents, nconsents));
}
