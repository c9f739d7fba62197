/*
 * exporter_source.h
 *	  What exporters of all kinds are created for: a stream or derived stream.
 */
#ifndef STRM_API_EXPORTER_SOURCE_H
#define STRM_API_EXPORTER_SOURCE_H

#include "utils/uuid.h"

#include "common/errors.h"
#include "contract/contract.h"

typedef struct StrmExporterSource
{
	Oid			relid;
	pg_uuid_t	stream;
	pg_uuid_t	derived;		/* when is_derived */
	bool		is_derived;
	const StrmContract *contract;
} StrmExporterSource;

/* The stream or derived stream of that relation; raises 42704. */
extern void strm_exporter_source_find(Oid relid, StrmExporterSource *source);

/*
 * Keeps the source from being dropped before this transaction has ended: who drops it then sees the exporter, and drops
 * it, too. Raises 42704 when it is gone already.
 */
extern void strm_exporter_source_hold(StrmExporterSource *source);

/* A fault for each table of the stream whose rows are not in the WAL. */
extern void strm_exporter_source_check_logged(const StrmExporterSource *source, StrmFaults *faults);

#endif							/* STRM_API_EXPORTER_SOURCE_H */
