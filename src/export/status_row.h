/*
 * status_row.h
 *	  What the rows of exporters' states have in common: their columns as C values, and when a change is a message
 *	  for strm.entity_log.
 */
#ifndef STRM_EXPORT_STATUS_ROW_H
#define STRM_EXPORT_STATUS_ROW_H

#include "access/xlogdefs.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "catalog/registry.h"

/* A column as a value, in the current context. NULLs are NULL, and 0. */
extern char *strm_status_row_text(Datum value, bool isnull);
extern XLogRecPtr strm_status_row_lsn(Datum value, bool isnull);
extern TimestampTz strm_status_row_time(Datum value, bool isnull);
extern int	strm_status_row_sqlstate(Datum value, bool isnull);

/* Adds a parameter, of which 0 is NULL. */
extern void strm_status_row_add_lsn(StrmRegistryArgs *args, XLogRecPtr lsn);
extern void strm_status_row_add_time(StrmRegistryArgs *args, TimestampTz time);
extern void strm_status_row_add_sqlstate(StrmRegistryArgs *args, int sqlstate);

/*
 * Begins and ends a statement that writes a state's row ("INSERT ... ON CONFLICT ... DO UPDATE ..." stands between
 * them, joined by the compiler): it gives no row when nothing was written, else whether that is a message for the log:
 * another state, or another error. $1: the exporter.
 */
#define STRM_STATUS_ROW_BEGIN(table) \
	"WITH old AS (SELECT state, sqlstate, message FROM " table " WHERE exporter_id = $1), written AS ("
#define STRM_STATUS_ROW_END \
	" RETURNING state, sqlstate, message)" \
	" SELECT NOT EXISTS (SELECT FROM old o WHERE o.state = w.state AND (w.message IS NULL OR" \
	"  o.message IS NOT DISTINCT FROM w.message AND o.sqlstate IS NOT DISTINCT FROM w.sqlstate)) FROM written w"

#endif							/* STRM_EXPORT_STATUS_ROW_H */
