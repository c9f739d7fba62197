/*
 * batch_exporter.h
 *	  What the SQL functions of batch exporters, and those of their connectors, share.
 */
#ifndef STRM_API_BATCH_EXPORTER_H
#define STRM_API_BATCH_EXPORTER_H

#include "utils/timestamp.h"

#include "connect/connector.h"
#include "export/batch_exporter.h"

#define STRM_BATCH_EXPORTER_NAME_MAX 100

/*
 * The connector of that name, for an exporter to come, if the current user may use it: nobody drops it, or alters where
 * it leads, before this transaction has ended. Raises 42704 or 42501.
 */
extern StrmConnector *strm_batch_exporter_connector(const char *name);

/* Faults of single parts; an exporter's connector is the one given. */
extern int	strm_batch_exporter_seconds(const Interval *every, StrmFaults *faults);
extern void strm_batch_exporter_check_paths(const StrmBatchExporter *exporter, StrmFaults *faults);

/* A fault when another exporter's files could have the same names. exporter->id: zero when it is new. */
extern void strm_batch_exporter_check_place(const StrmBatchExporter *exporter, StrmFaults *faults);

/* From here on one session at a time looks for such, and then writes. */
extern void strm_batch_exporter_lock_places(void);

/* Shows that files can be written below the prefix; raises what the connector does. */
extern void strm_batch_exporter_try(StrmConnector *connector, const char *prefix);

#endif							/* STRM_API_BATCH_EXPORTER_H */
