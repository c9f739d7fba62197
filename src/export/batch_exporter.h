/*
 * batch_exporter.h
 *	  Batch exporters in the registry: definitions, and what is known of them durably.
 *
 *	  A file holds what one snapshot has and the one before it had not: events (or keys) whose transactions are visible
 *	  in `pending` and not in `done`. Snapshots are monotone, so each event is in exactly one file, whenever its
 *	  transaction commits. The set is found by decoding the WAL from done_lsn on, or, where that does not reach back
 *	  (events that exist already, a lost slot), by reading the table (export/backfill.h): the same set, as far as rows
 *	  were not deleted meanwhile.
 *
 *	  Everything here needs a transaction. Reads go by the registry's owner: callers have checked rights.
 */
#ifndef STRM_EXPORT_BATCH_EXPORTER_H
#define STRM_EXPORT_BATCH_EXPORTER_H

#include "access/xlogdefs.h"
#include "nodes/pg_list.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

typedef enum StrmBatchExporterState
{
	STRM_BATCH_EXPORTER_CREATING,	/* no worker has taken it up yet */
	STRM_BATCH_EXPORTER_RUNNING,
	STRM_BATCH_EXPORTER_PAUSED,
	STRM_BATCH_EXPORTER_RETRYING,	/* a temporary failure (the store does not answer): it goes on by itself */
	STRM_BATCH_EXPORTER_ERROR	/* needs somebody, then strm.resume_batch_exporter() */
} StrmBatchExporterState;

typedef struct StrmBatchExporter
{
	pg_uuid_t	id;
	char	   *name;
	Oid			owner;
	pg_uuid_t	stream;			/* the source */
	pg_uuid_t	derived;		/* when is_derived */
	bool		is_derived;
	bool		keys;			/* not the events, but the keys of the stream */
	pg_uuid_t	connector;
	char	   *path_prefix;	/* "" or "a/b" */
	int			every;			/* seconds */
	bool		gzip;
	bool		include_existing;
	bool		paused;			/* wanted */
	bool		ours;			/* of this database of this server, not of one that it is a copy of */
	char	   *defined_at;		/* snapshot of its creation, see snapshot.h */
} StrmBatchExporter;

/* The row of strm.batch_exporter_state. Texts NULL: none. LSNs 0: none. */
typedef struct StrmBatchExporterStatus
{
	StrmBatchExporterState state;
	TimestampTz since;
	int			sqlstate;		/* 0: no error */
	char	   *message;		/* never a personal value or credential */
	char	   *hint;
	int			tries;			/* failures in a row */
	TimestampTz next_at;		/* when it is due */

	char	   *done;			/* snapshot: all of its events are in files, or were not wanted; NULL: not taken up */
	XLogRecPtr	done_lsn;		/* transactions that are not in it commit at or after this; 0: read the table */

	/* the files under way: of the events that `pending` has and `done` has not. NULL: none */
	char	   *pending;
	XLogRecPtr	pending_lsn;	/* done_lsn to be */
	XLogRecPtr	pending_end;	/* all transactions of it have committed before */
	char	   *pending_plan;	/* backfill plan; NULL: by decoding */
	TimestampTz pending_at;		/* in the names of the files */
	int			part;			/* of the file that comes next, or is under way; from 0 */
	char	   *part_start;		/* all up to it is in files before: LSN/sequence, or the plan's place; NULL: none */
	char	   *file;			/* its path, from before it is published; NULL: it may be begun anew */
	char	   *part_end;		/* with file: its last place */
	int64		file_rows;

	int64		files;
	int64		rows;
	int64		bytes;			/* as stored */
	int64		withheld;
	int64		filtered;
	int64		failed;			/* forged rows, rows whose key is lost */
	char	   *last_file;
	TimestampTz last_file_at;
} StrmBatchExporterStatus;

/* All of this database, in the current context; by id (NULL: gone); by name (raises 42704). */
extern List *strm_batch_exporters(void);
extern StrmBatchExporter *strm_batch_exporter_by_id(const pg_uuid_t *id);
extern StrmBatchExporter *strm_batch_exporter_by_name(const char *name);

/* Those whose files go to a connector. */
extern List *strm_batch_exporters_of_connector(const pg_uuid_t *connector);

/*
 * Before another one becomes of this database of this server: notes that those are that pg_upgrade took along, with
 * their slot.
 */
extern void strm_batch_exporters_adopt(void);

/* Name of the slot that all of this database share. */
extern char *strm_batch_exporter_slot_name(void);

/* An exporter's name as it stands in names of files: other characters than A-Z a-z 0-9 - . _ ~ are _. */
extern char *strm_batch_exporter_file_name(const char *name);

/*
 * State: false when the exporter is gone. Writing replaces the whole row, notifies a change of state and keeps it in
 * strm.entity_log. The worker writes it; commands only rows of exporters that the worker leaves alone: resuming makes
 * of ERROR RETRYING, due at once, and moves the generation (strm_catalog_generation), at which it is read anew.
 */
extern bool strm_batch_exporter_status_read(const pg_uuid_t *exporter, StrmBatchExporterStatus *status);
extern bool strm_batch_exporter_status_write(const pg_uuid_t *exporter, const StrmBatchExporterStatus *status);
extern const char *strm_batch_exporter_state_name(StrmBatchExporterState state);

/* The exporter's definition is gone: so goes its state. */
extern void strm_batch_exporter_status_forget(const pg_uuid_t *exporter);

/* The same of all whose definition went while no worker was there, or knew of them. */
extern void strm_batch_exporter_status_sweep(void);

/*
 * May the exporter's owner still export? NULL: yes; else what is missing, constant or with names of roles, relations
 * and connectors only. Streams: their owner, or strm_member with SELECT; derived streams: strm_approver with SELECT;
 * keys: strm_key_exporter and the stream's owner or SELECT on it. And the use of the connector.
 */
extern const char *strm_batch_exporter_refusal(const StrmBatchExporter *exporter);

/* The same of the source alone, of another role; before there is an exporter. */
extern const char *strm_batch_exporter_refusal_of_source(Oid owner, const StrmBatchExporter *exporter);

#endif							/* STRM_EXPORT_BATCH_EXPORTER_H */
