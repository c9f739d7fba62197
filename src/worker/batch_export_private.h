/*
 * batch_export_private.h
 *	  What the files of the batch export worker share: a session, which is a database, and its exporters.
 *
 *	  A run of an exporter writes the files of one settled snapshot: of what `pending` has and `done` has not. Several
 *	  exporters that are due run together, and the WAL is read once for them; those whose WAL is gone read their table
 *	  instead, one after another. Decoding goes on where it ended, unless one of them has missed something before.
 *
 *	  Rows are encoded in short transactions into a chunk of memory; outside transactions chunks are written to files.
 *	  So a store that does not answer holds no transaction open. What fails is put down to an exporter where it can be:
 *	  that one's run ends, and its row of strm.batch_exporter_state, which was written before each step that others can
 *	  see, tells where it goes on; what memory held is forgotten.
 */
#ifndef STRM_WORKER_BATCH_EXPORT_PRIVATE_H
#define STRM_WORKER_BATCH_EXPORT_PRIVATE_H

#include "utils/rel.h"

#include "catalog/policy.h"
#include "common/bytes.h"
#include "connect/connector.h"
#include "export/backfill.h"
#include "export/batch_exporter.h"
#include "export/decoder.h"
#include "export/encoder.h"
#include "export/tables.h"
#include "format/record.h"

/* Exporters that run together: so many files may be open. */
#define STRM_BATCH_EXPORT_TOGETHER 16

/* Bytes of a chunk after which it is written; ms and rows of one transaction; rows between two looks at the clock. */
#define STRM_BATCH_EXPORT_CHUNK (1024 * 1024)
#define STRM_BATCH_EXPORT_SLICE 50
#define STRM_BATCH_EXPORT_ROWS 20000
#define STRM_BATCH_EXPORT_CLOCK 128

/* A place in a run: of a decoded row its commit and number; of a row of the table 0 and its place. */
typedef struct StrmBatchExportPlace
{
	XLogRecPtr	lsn;
	uint64		sequence;
} StrmBatchExportPlace;

/* What a file, or what was left out since the one before, adds to the totals. */
typedef struct StrmBatchExportCounts
{
	int64		rows;
	int64		bytes;
	int64		withheld;
	int64		filtered;
	int64		failed;
} StrmBatchExportCounts;

typedef struct StrmBatchExportSession StrmBatchExportSession;
typedef struct StrmBatchExportKeys StrmBatchExportKeys;

typedef struct StrmBatchExport
{
	StrmBatchExportSession *session;
	MemoryContext cxt;
	MemoryContext definition_cxt;
	StrmBatchExporter *definition;
	Oid			table;			/* what it reads: its stream's table, or that of keys; InvalidOid: dropped */
	bool		found;			/* by the refresh under way */
	TimestampTz due;			/* when it is; of those that run by themselves */
	TimestampTz forged_at;		/* when the log was told of an event that is not authentic */

	/* the run; all in run_cxt */
	bool		running;
	bool		from_table;		/* it does not decode */
	bool		gone;			/* its definition: forget it when the run is over */
	MemoryContext run_cxt;
	StrmBatchExporterStatus status;
	StrmSnapshot *done;
	StrmSnapshot *pending;
	StrmBackfillPlan *plan;		/* NULL: it decodes */
	StrmBatchExportPlace last;	/* all rows up to it were taken */
	StrmBatchExportPlace end;	/* of a file that is made again */
	bool		again;			/* the file under way is */
	bool		overwrite;		/* it may have been published before */
	bool		full;			/* the file under way ends here */
	bool		scanned;		/* the table is */
	XLogRecPtr	transaction;	/* whether this one is wanted is known */
	bool		wanted;
	bool		missed;			/* since decoding began, rows were read that it will want */
	StrmPolicy	policy;			/* of keys */
	const StrmConnector *connector;
	StrmStore  *store;

	/* the file; all in file_cxt */
	MemoryContext file_cxt;
	StrmByteSink *raw;			/* NULL: not begun */
	StrmByteSink *sink;			/* raw, or what compresses into it */
	char	   *path;
	pg_uuid_t	intent;
	char	   *note;
	uint64		size;			/* before compression */
	StrmBatchExportCounts counts;
	StrmBatchExportKeys *keys;	/* who writes rows of keys */

	/* encoding */
	StrmExportEncoder *encoder; /* of the present transaction */
	bool		permitted;		/* found in the present transaction */
	Relation	key_table;		/* open in it, or NULL */
	StringInfoData key;
	StringInfoData value;
	char	   *chunk;
	Size		used;
	Size		room;
} StrmBatchExport;

/* Those who read a table: StrmExportTables' stream. */
typedef struct StrmBatchExportReaders
{
	Oid			table;
	List	   *exporters;
} StrmBatchExportReaders;

struct StrmBatchExportSession
{
	MemoryContext cxt;
	MemoryContext scratch;		/* reset in each round */
	const char *slot;
	StrmExportTables *tables;
	uint64		generation;		/* of what was read */
	bool		fresh;			/* it was read */
	bool		erased;			/* there are erased events */
	List	   *exporters;		/* of this database */
	StrmDecoder *decoder;		/* NULL: none */
	bool		begun;			/* it has read since it was made */
	bool		skip;			/* what it reads is not wanted */
	StrmBatchExport *current;	/* whose code runs: who is to blame for an error */
	bool		taken;			/* a row was taken out of the spool, and is not done with */
};

/* --- batch_export_worker.c --- */

/* Signals, and what others ask for: may end the process. Outside a transaction. */
extern void strm_batch_export_interrupts(void);

/* --- batch_export_refresh.c --- */

/* Reads definitions when they may have changed. false: none is left. In a transaction. */
extern bool strm_batch_export_refresh(StrmBatchExportSession *session);
/* Decoding asks: is that table's content wanted? */
extern bool strm_batch_export_wanted(void *session, Oid relid);
/* Forgets exporters whose definition is gone. Outside a transaction, and outside runs. */
extern void strm_batch_export_forget_gone(StrmBatchExportSession *session);

/* --- batch_export_run.c --- */

/* Runs these exporters. Outside a transaction. */
extern void strm_batch_export_run(StrmBatchExportSession *session, List *exporters);

/* --- batch_export_slot.c --- */

/* Sees to it that there is a slot, and opens it. Raises when there cannot be one. Outside a transaction. */
extern void strm_batch_export_require_slot(StrmBatchExportSession *session);
/* Lets WAL go that nobody needs. Outside a transaction. */
extern void strm_batch_export_confirm(StrmBatchExportSession *session);
/* Exporters that are too far behind will read their tables, where the administrator wants that. */
extern void strm_batch_export_limit_lag(StrmBatchExportSession *session);

/* --- batch_export_settle.c --- */

/* Gives those that have no files under way a settled snapshot to export. Outside a transaction. */
extern void strm_batch_export_settle(StrmBatchExportSession *session, List *exporters);

/* --- batch_export_deliver.c --- */

/* Takes rows out of the spool into chunks, in one transaction. true: there are more. */
extern bool strm_batch_export_deliver(StrmBatchExportSession *session);
/* The same with rows of an exporter's table. true: there are more. */
extern bool strm_batch_export_read_table(StrmBatchExport *exporter);
/* Forgets encoders and wipes what they left. */
extern void strm_batch_export_wipe(StrmBatchExportSession *session);
extern void strm_batch_export_wipe_chunk(StrmBatchExport *exporter);

/* --- batch_export_file.c --- */

/* Writes the chunk, ends the file when it is full, and stops a run that is not wanted any more. */
extern void strm_batch_export_write(StrmBatchExport *exporter);
/* Everything is written: ends the file under way, and the run. */
extern void strm_batch_export_finish(StrmBatchExport *exporter);
/* Takes away a file under way. Never raises. */
extern void strm_batch_export_discard(StrmBatchExport *exporter, bool reachable);
/* Takes away what dead runs of the exporter have left; the file that was published at that path stays. */
extern void strm_batch_export_clean_up(StrmBatchExport *exporter, const char *published);

/* --- batch_export_status.c --- */

/*
 * Begins a transaction of the worker's, whose memory is then the current one; the process ends when the extension is
 * gone. After the end the session's scratch is.
 */
extern void strm_batch_export_begin(void);
extern void strm_batch_export_end(StrmBatchExportSession *session);
/* Writes the status of a run, in a transaction. The exporter may be gone. */
extern void strm_batch_export_put_status(StrmBatchExport *exporter);
/* The run is over. reachable: its store can be asked to take away what is under way. Outside a transaction. */
extern void strm_batch_export_stop(StrmBatchExport *exporter, bool reachable);
/* The run has failed. Outside a transaction. */
extern void strm_batch_export_fail(StrmBatchExport *exporter, bool temporary, int sqlstate, const char *message,
								   const char *hint);
/* After PG_CATCH: ends the transaction that failed, if there was one. */
extern void strm_batch_export_abort(StrmBatchExportSession *session);
/* After PG_CATCH, with the error in the error state: puts it down to that exporter. */
extern void strm_batch_export_caught(StrmBatchExport *exporter);
/* State without a run: PAUSED, or RUNNING and due at once. In a transaction. */
extern void strm_batch_export_note_state(StrmBatchExport *exporter, StrmBatchExporterState state);
/* When an exporter that ran well is due again: at a multiple of `every`. */
extern TimestampTz strm_batch_export_next(const StrmBatchExporter *definition, TimestampTz now);
/* Places as text, and back. */
extern char *strm_batch_export_place_text(const StrmBatchExportPlace *place);
extern StrmBatchExportPlace strm_batch_export_place_of(const char *text);

/* --- batch_export_keys.c --- */

/* Adds the key of a row of strm.data_key to the chunk, if it is one of the run's. In a transaction. */
extern StrmExportVerdict strm_batch_export_key(StrmBatchExport *exporter, HeapTuple tuple, bool *skip);
/* Appends to the chunk. */
extern void strm_batch_export_append(StrmBatchExport *exporter, const char *data, Size size);
/* Says in the log who got how many keys. In a transaction. */
extern void strm_batch_export_audit_keys(StrmBatchExport *exporter, int64 count);

#endif							/* STRM_WORKER_BATCH_EXPORT_PRIVATE_H */
