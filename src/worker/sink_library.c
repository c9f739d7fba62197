/*
 * sink_library.c
 *	  Loads the library that talks to brokers.
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "common/errors.h"
#include "strm_privacy.h"
#include "worker/sink_library.h"

/* Calls the library's one function; what may go wrong on the way has many codes and texts. */
static const StrmSinkKind *
strm_sink_library_load(void)
{
	MemoryContext cxt = CurrentMemoryContext;
	const StrmSinkKind *volatile kind = NULL;

	PG_TRY();
	{
		StrmSinkFunction function = (StrmSinkFunction) load_external_function(STRM_SINK_LIBRARY, STRM_SINK_FUNCTION,
																			  true, NULL);

		kind = function();
	}
	PG_CATCH();
	{
		ErrorData  *edata;

		MemoryContextSwitchTo(cxt);
		edata = CopyErrorData();
		FlushErrorState();
		ereport(ERROR,
				errcode(STRM_ERR_MISSING),
				errmsg("the library %s cannot be loaded", STRM_SINK_LIBRARY),
				errdetail_internal("%s", edata->message),
				errhint("It comes with the extension when that is built where librdkafka is installed,"
						" and needs librdkafka on the server."));
	}
	PG_END_TRY();
	return kind;
}

const StrmSinkKind *
strm_sink_library(void)
{
	static const StrmSinkKind *kind = NULL;

	Assert(MyBackendType == B_BG_WORKER);
	if (kind == NULL)
		kind = strm_sink_library_load();
	return kind;
}
