/*
 * guc.h
 *	  Every setting of the extension, alphabetical. docs/settings.md describes each.
 */
#ifndef STRM_GUC_H
#define STRM_GUC_H

extern int	strm_batch_export_file_size;
extern int	strm_batch_max_workers;
extern char *strm_connector_ca_file;
extern char *strm_connector_directory;
extern int	strm_connector_timeout;
extern int	strm_export_max_lag;
extern int	strm_inbox_full;
extern int	strm_inbox_max_rows;
extern int	strm_ingest_workers;
extern int	strm_key_cache_size;
extern bool strm_log_redaction;
extern char *strm_master_key_file;

/* Values of strm_inbox_full: what an INSERT does that finds the inbox full. */
enum
{
	STRM_INBOX_FULL_WAIT,
	STRM_INBOX_FULL_ERROR
};

/* Defines the settings; called once, by _PG_init. */
extern void strm_guc_init(void);

#endif							/* STRM_GUC_H */
