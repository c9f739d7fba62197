/*
 * export_sink.h
 *	  Opening the sink of an exporter: for export_exporter.c and export_backfill.c.
 */
#ifndef STRM_WORKER_EXPORT_SINK_H
#define STRM_WORKER_EXPORT_SINK_H

#include "worker/export_private.h"

/* Begins to open it. Outside a transaction; raises. */
extern void strm_export_sink_open(StrmExportExporter *exporter);

/* Its configuration, in the current context, in a transaction. */
extern void strm_export_sink_config(StrmExportExporter *exporter, StrmSinkConfig *config);

/* It is open: compares what the topic holds with what is known. false: it has failed for that. */
extern bool strm_export_sink_ready(StrmExportExporter *exporter);

#endif							/* STRM_WORKER_EXPORT_SINK_H */
