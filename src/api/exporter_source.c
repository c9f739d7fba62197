/*
 * exporter_source.c
 *	  What exporters of all kinds are created for: a stream or derived stream.
 */
#include "postgres.h"

#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "storage/lmgr.h"
#include "utils/lsyscache.h"

#include "api/args.h"
#include "api/exporter_source.h"
#include "catalog/cache.h"
#include "catalog/derived_stream.h"
#include "catalog/stream.h"
#include "strm_privacy.h"

void
strm_exporter_source_find(Oid relid, StrmExporterSource *source)
{
	const StrmDerivedStream *derived = strm_catalog_derived_stream_of(relid);
	const StrmStream *stream = derived != NULL ? derived->stream : strm_args_stream(relid);

	memset(source, 0, sizeof(StrmExporterSource));
	source->relid = relid;
	source->stream = stream->id;
	source->is_derived = derived != NULL;
	if (derived != NULL)
		source->derived = derived->id;
	source->contract = stream->contract;
}

void
strm_exporter_source_hold(StrmExporterSource *source)
{
	const StrmStream *stream;

	LockRelationOid(source->relid, AccessShareLock);
	strm_exporter_source_find(source->relid, source);
	stream = strm_catalog_stream(&source->stream);
	if (stream->relid != source->relid)
		LockRelationOid(stream->relid, AccessShareLock);
	strm_exporter_source_find(source->relid, source);
	if (get_rel_name(source->relid) == NULL)
		ereport(ERROR,
				errcode(STRM_ERR_UNDEFINED),
				errmsg("the stream was dropped meanwhile"));
}

void
strm_exporter_source_check_logged(const StrmExporterSource *source, StrmFaults *faults)
{
	const StrmStream *stream = strm_catalog_stream(&source->stream);
	List	   *tables = find_all_inheritors(stream->relid, NoLock, NULL);
	ListCell   *lc;

	foreach(lc, tables)
	{
		if (get_rel_persistence(lfirst_oid(lc)) != RELPERSISTENCE_PERMANENT)
			strm_faults_add(faults, "table %s is not logged, so that its rows are not in the WAL",
							strm_catalog_relation_name(lfirst_oid(lc)));
	}
}
