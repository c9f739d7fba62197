/*
 * avro.c
 *	  SQL entry point for the Avro schema of a stream's events.
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"

#include "api/args.h"
#include "catalog/derived_stream.h"
#include "catalog/stream.h"
#include "common/errors.h"
#include "export/avro.h"
#include "strm_privacy.h"

PG_FUNCTION_INFO_V1(strm_sql_avro_schema);

/* strm.avro_schema(stream regclass) RETURNS text */
Datum
strm_sql_avro_schema(PG_FUNCTION_ARGS)
{
	const StrmStream *stream;
	const StrmDerivedStream *derived;
	StrmFaults	faults;
	Oid			relid;

	strm_args_require(fcinfo, 0, "stream");
	relid = PG_GETARG_OID(0);
	derived = strm_catalog_derived_stream_of(relid);
	stream = derived != NULL ? derived->stream : strm_args_stream(relid);

	strm_faults_init(&faults);
	strm_avro_check(stream->contract, &faults);
	strm_faults_raise(&faults, STRM_ERR_ARGUMENT,
					  psprintf("data contract \"%s\" has no Avro form", strm_contract_ref(stream->contract)), NULL);
	PG_RETURN_TEXT_P(cstring_to_text(strm_avro_stream_schema(stream, derived)));
}
