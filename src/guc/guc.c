/*
 * guc.c
 *	  Every setting of the extension, alphabetical. A setting that could weaken privacy is never PGC_USERSET.
 */
#include "postgres.h"

#include <limits.h>

#include "utils/guc.h"

#include "guc/guc.h"
#include "strm_privacy.h"

int			strm_batch_export_file_size = 1024;
int			strm_batch_max_workers = 2;
char	   *strm_connector_ca_file = NULL;
char	   *strm_connector_directory = NULL;
int			strm_connector_timeout = 60;
int			strm_export_max_lag = -1;
int			strm_inbox_full = STRM_INBOX_FULL_WAIT;
int			strm_inbox_max_rows = 1000000;
int			strm_ingest_workers = 1;
int			strm_key_cache_size = 65536;
bool		strm_log_redaction = true;
char	   *strm_master_key_file = NULL;

static const struct config_enum_entry inbox_full_options[] = {
	{"wait", STRM_INBOX_FULL_WAIT, false},
	{"error", STRM_INBOX_FULL_ERROR, false},
	{NULL, 0, false}
};

void
strm_guc_init(void)
{
	DefineCustomIntVariable("strm_privacy.batch_export_file_size",
							"Size, before compression, at which a batch exporter ends a file and begins the next one.",
							"A file is a little larger than that: it ends with an event.",
							&strm_batch_export_file_size,
							1024, 1, 65536,
							PGC_SIGHUP, GUC_UNIT_MB, NULL, NULL, NULL);

	DefineCustomIntVariable("strm_privacy.batch_max_workers",
							"Number of queued batch jobs that run at once in a database.",
							"Each takes one of max_worker_processes. With 0 queued jobs wait.",
							&strm_batch_max_workers,
							2, 0, 64,
							PGC_SIGHUP, 0, NULL, NULL, NULL);

	DefineCustomStringVariable("strm_privacy.connector_ca_file",
							   "Certificates (PEM) of the authorities that data connectors trust, instead of the system's.",
							   NULL,
							   &strm_connector_ca_file,
							   NULL,
							   PGC_SIGHUP, 0, NULL, NULL, NULL);

	DefineCustomStringVariable("strm_privacy.connector_directory",
							   "Directory below which data connectors of kind directory read and write.",
							   "Without it there are none.",
							   &strm_connector_directory,
							   NULL,
							   PGC_SIGHUP, GUC_SUPERUSER_ONLY, NULL, NULL, NULL);

	DefineCustomIntVariable("strm_privacy.connector_timeout",
							"Time without any progress after which a data connector gives an attempt up.",
							"Attempts are repeated a few times where that can help.",
							&strm_connector_timeout,
							60, 1, 3600,
							PGC_SIGHUP, GUC_UNIT_S, NULL, NULL, NULL);

	DefineCustomIntVariable("strm_privacy.export_max_lag",
							"Write-ahead log that may be kept for exporters that cannot export.",
							"Beyond it Kafka exporters that lag most become BROKEN and must be rebuilt, and batch exporters read their stream's table. -1: without limit.",
							&strm_export_max_lag,
							-1, -1, INT_MAX,
							PGC_SIGHUP, GUC_UNIT_MB, NULL, NULL, NULL);

	DefineCustomEnumVariable("strm_privacy.inbox_full",
							 "What an INSERT does while an inbox has strm_privacy.inbox_max_rows rows: wait, or fail.",
							 NULL,
							 &strm_inbox_full,
							 STRM_INBOX_FULL_WAIT, inbox_full_options,
							 PGC_USERSET, 0, NULL, NULL, NULL);

	DefineCustomIntVariable("strm_privacy.inbox_max_rows",
							"Number of rows in the inbox of a stream beyond which producers are held up.",
							"0: without limit.",
							&strm_inbox_max_rows,
							1000000, 0, INT_MAX,
							PGC_SIGHUP, 0, NULL, NULL, NULL);

	DefineCustomIntVariable("strm_privacy.ingest_workers",
							"Number of workers that move rows out of the inboxes of a database.",
							"Each takes one of max_worker_processes, in databases that have inboxes. With 0 rows wait.",
							&strm_ingest_workers,
							1, 0, 16,
							PGC_SIGHUP, 0, NULL, NULL, NULL);

	DefineCustomIntVariable("strm_privacy.key_cache_size",
							"Number of data keys that a session keeps unwrapped in its memory.",
							"A key takes about 300 bytes. Keys beyond this number are read again when needed.",
							&strm_key_cache_size,
							65536, 16, 16 * 1024 * 1024,
							PGC_USERSET, 0, NULL, NULL, NULL);

	DefineCustomBoolVariable("strm_privacy.log_redaction",
							 "Keeps statements and context lines that concern streams out of the server log.",
							 NULL,
							 &strm_log_redaction,
							 true,
							 PGC_SUSET, 0, NULL, NULL, NULL);

	DefineCustomStringVariable("strm_privacy.master_key_file",
							   "File that holds the master keys, outside the data directory.",
							   "CREATE EXTENSION creates it when it does not exist and the cluster never had one.",
							   &strm_master_key_file,
							   NULL,
							   PGC_SIGHUP, GUC_SUPERUSER_ONLY, NULL, NULL, NULL);

	MarkGUCPrefixReserved("strm_privacy");
}
