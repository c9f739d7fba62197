/*
 * export_private.h
 *	  What the files of the export worker share: a session, which is one Kafka cluster, and its exporters.
 *
 *	  Decoding is shared by all exporters of a cluster. An exporter that cannot take an event (its sink is not open, it
 *	  is paused, it reads existing events) notes where that event's transaction stands (blocked) and takes none from
 *	  then on, so that its order is kept, while the others go on. When it can take events again, decoding goes back to
 *	  the position that the slot has confirmed; the others skip what they have considered already, and this one what its
 *	  topic has.
 *
 *	  The row of strm.kafka_exporter_state is kept in memory, and written by strm_export_write_statuses in a transaction
 *	  of its own; while one is unwritten, its exporter produces nothing.
 */
#ifndef STRM_WORKER_EXPORT_PRIVATE_H
#define STRM_WORKER_EXPORT_PRIVATE_H

#include "storage/ipc.h"
#include "storage/latch.h"

#include "export/backfill.h"
#include "export/decoder.h"
#include "export/exporter.h"
#include "export/progress.h"
#include "export/sink.h"
#include "export/tables.h"
#include "worker/export_slot.h"

/* Bytes that the sinks of all exporters may queue, and the least of one; of a derived stream. */
#define STRM_EXPORT_QUEUE (24 * 1024 * 1024)
#define STRM_EXPORT_QUEUE_MIN (512 * 1024)
#define STRM_EXPORT_QUEUE_DERIVED (2 * 1024 * 1024)

/* Longest time (ms) of one transaction of the worker's, and events in it. */
#define STRM_EXPORT_SLICE 20
#define STRM_EXPORT_BATCH 2000

/* ms that all wait for a sink that takes nothing */
#define STRM_EXPORT_PATIENCE 5000

/* Events between two looks at the clock and at what was acknowledged. */
#define STRM_EXPORT_POLL_EVENTS 128

typedef struct StrmExportSession StrmExportSession;
typedef struct StrmExportKnown StrmExportKnown;

/* A checkpoint to be: good once everything before lsn is acknowledged. */
typedef struct StrmExportMark
{
	char	   *snapshot;		/* NULL: none */
	XLogRecPtr	lsn;			/* all transactions of the snapshot have committed before */
	XLogRecPtr	taken_lsn;		/* it was taken no earlier than this */
	int64	   *offsets;		/* next ones, when the mark before was set */
	int64	   *next;			/* next ones, when this one was set */
} StrmExportMark;

typedef struct StrmExportExporter
{
	StrmExportSession *session;
	MemoryContext cxt;
	MemoryContext definition_cxt;
	StrmKafkaExporter *definition;
	Oid			stream;			/* its table; InvalidOid: dropped */
	bool		found;			/* by the refresh under way */

	StrmExporterStatus status;	/* texts and arrays in cxt */
	bool		unwritten;
	bool		changed;		/* counters or offsets, since it was written */

	/* the sink */
	MemoryContext sink_cxt;
	StrmSink   *sink;			/* NULL: closed */
	bool		ready;
	bool		committing;		/* takes no records until that is done */
	TimestampTz uncommitted_since;	/* of a transactional one: it has sent some; 0: none */
	Size		queue_size;
	TimestampTz permitted_at;	/* its owner was found to have the rights */
	bool		registered;		/* its Avro schema, of which the registry has this id */
	int32		schema_id;
	int			failures;		/* in a row */
	TimestampTz retry_at;
	TimestampTz trouble_since;	/* the sink struggles; 0: it does not */
	TimestampTz forged_at;		/* when the log was told of an event that is not authentic */
	TimestampTz told_at;		/* when the state, or what it is for, was written last */
	StrmProgress *progress;

	/* where it cannot go on; 0: it can */
	XLogRecPtr	blocked;
	TimestampTz blocked_since;
	bool		aside;			/* its sink takes nothing, and others should not wait */
	TimestampTz stalled_since;	/* 0: it takes records */
	uint64		stalled_count;

	/* taking up */
	XLogRecPtr	seek;			/* its definition lies before */
	XLogRecPtr	origin;			/* start that is not written yet; 0: none */
	TimeLineID	origin_timeline;
	StrmSettling *settling;

	/* existing events */
	MemoryContext plan_cxt;
	StrmBackfillPlan *plan;		/* NULL: none */
	uint64		place;
	bool		scanned;
	StrmExportKnown *known;

	/* encoding */
	StrmExportEncoder *encoder; /* of the present transaction */
	StringInfoData key;
	StringInfoData value;
	char		prefix[STRM_POSITION_SIZE]; /* of position headers, up to the sequence */
	int			prefix_size;
	StrmPosition prefix_position;
	StrmPosition counted;		/* what was not sent is counted up to here */

	/* a key was destroyed, or events were erased: records up to that cookie must be out by then; 0: none */
	TimestampTz purge_at;
	uint64		purge_cookie;

	StrmExportMark mark;
	TimestampTz marked_at;
	TimestampTz last_sent;
	int			live;			/* number among the live ones; -1: none yet */
} StrmExportExporter;

/* A stream that is published. */
typedef struct StrmExportRelation
{
	Oid			stream;			/* its table */
	int			nexporters;
	StrmExportExporter **exporters;
} StrmExportRelation;

/* A definition that was seen in the WAL, and will be read from the registry next. */
typedef struct StrmExportSeen
{
	pg_uuid_t	exporter;
	XLogRecPtr	lsn;
	XLogRecPtr	end_lsn;
	TimeLineID	timeline;
} StrmExportSeen;

struct StrmExportSession
{
	MemoryContext cxt;
	MemoryContext scratch;		/* reset in each round */
	pg_uuid_t	id;
	Oid			database;
	const char *slot;
	TimestampTz started;

	const StrmSinkKind *kind;
	StrmSinkBroker *broker;		/* embedded; NULL: none */
	int			wake_fd;
	WaitEventSet *events;
	WaitEventSet *room;			/* wake_fd alone */
	TimestampTz now;			/* when this round began */

	MemoryContext cluster_cxt;
	StrmKafkaCluster *cluster;
	uint64		generation;		/* of what was read */
	bool		fresh;			/* it was read */
	bool		again;			/* read it again soon */
	bool		erased;			/* there are erased events, which are not to be published */
	List	   *exporters;

	Oid			definitions;	/* strm.kafka_exporter */
	StrmExportTables *tables;	/* of which StrmExportRelation is the stream */
	List	   *seen;

	StrmDecoder *decoder;		/* NULL: there is no slot to read */
	bool		spooled;		/* the spool may have rows */
	bool		more;			/* there was more to read */
	XLogRecPtr	floor;			/* everything before was offered to all exporters */
	XLogRecPtr	published;		/* what this transaction may publish */
	TimestampTz confirmed_at;
	TimestampTz lag_at;			/* when lag was looked at */
	XLogRecPtr	target;			/* a commit before it woke this process; 0: none */
	TimestampTz target_since;
	int			stalled;		/* rounds in a row that ended for want of room */
	int			unripe;			/* rounds in a row that a transaction could not be published yet */
	int			idle;			/* waits in a row that nothing ended */

	StrmExportExporter *current;	/* whose code runs: who is to blame for an error */
	bool		taken;			/* a row was taken out of the spool, and is not done with */

	int			nlive;
	StrmExportLive *live;
	StrmExportPartition *live_partitions;
};

/* --- export_session.c --- */

/* Library, broker, event set. */
extern void strm_export_session_open(StrmExportSession *session);
/* Sees to it that there is a slot, and opens it. false: there is nothing to read. Outside a transaction. */
extern bool strm_export_session_decode(StrmExportSession *session);
/* Takes back what sinks have written to wake_fd. */
extern void strm_export_drain_wake(StrmExportSession *session);
/* Closes all sinks and the broker, as the process ends. */
extern void strm_export_session_close(StrmExportSession *session);

/* --- export_refresh.c --- */

/* Reads definitions when they may have changed. false: the cluster is gone. In a transaction. */
extern bool strm_export_refresh(StrmExportSession *session);
/* Decoding asks: is that table's content wanted? */
extern bool strm_export_wanted(void *session, Oid relid);

/* --- export_exporter.c --- */

extern StrmExportExporter *strm_export_create(StrmExportSession *session);
extern void strm_export_destroy(StrmExportExporter *exporter);
/* Serves its sink, opens and closes it. Outside a transaction. */
extern void strm_export_step(StrmExportExporter *exporter, TimestampTz now);
/* Closes the sink; what is not acknowledged will be sent again. */
extern void strm_export_shut(StrmExportExporter *exporter);
/* Something failed: closes the sink. temporary: it will be tried again. */
extern void strm_export_fail(StrmExportExporter *exporter, bool temporary, int sqlstate, const char *message,
							 const char *hint);
/* The same with the error of its sink. */
extern void strm_export_fail_sink(StrmExportExporter *exporter);
/* After PG_CATCH, with the error in the error state: puts it down to that exporter. */
extern void strm_export_caught(StrmExportExporter *exporter);
/* Can it take live events? */
extern bool strm_export_able(const StrmExportExporter *exporter);
/* Notes that it could not take that transaction. */
extern void strm_export_block(StrmExportExporter *exporter, XLogRecPtr lsn, TimestampTz committed);
/* First transaction that it still needs; what was read so far when it needs none. */
extern XLogRecPtr strm_export_hold(const StrmExportExporter *exporter, TimestampTz *since);
/* Where its live events begin; 0: not known. */
extern XLogRecPtr strm_export_start(const StrmExportExporter *exporter);
/* A key was destroyed, or events were erased: a queue that may hold what was meant has to be out soon. */
extern void strm_export_key_destroyed(StrmExportExporter *exporter, TimestampTz now);

/* --- export_status.c --- */

/* State, with why; the texts may be NULL. Nothing happens when it is all the same. */
extern void strm_export_set_state(StrmExportExporter *exporter, StrmExporterState state, int sqlstate,
								  const char *message, const char *hint);
/* The state of an exporter with which nothing is wrong. */
extern StrmExporterState strm_export_sound_state(const StrmExportExporter *exporter);
extern void strm_export_set_text(StrmExportExporter *exporter, char **member, const char *text);
/* Takes the row over, as it was read, unless ours is newer. */
extern void strm_export_adopt(StrmExportExporter *exporter, const StrmExporterStatus *row);
/* Writes what has to be. Outside a transaction. */
extern void strm_export_write_statuses(StrmExportSession *session);
/* Sets and takes checkpoints. Outside a transaction. */
extern void strm_export_checkpoint(StrmExportSession *session, TimestampTz now);
/* Puts the numbers of all exporters where sessions see them. */
extern void strm_export_show(StrmExportSession *session);

/* --- export_deliver.c --- */

typedef enum StrmExportOutcome
{
	STRM_EXPORT_EMPTY,			/* the spool is empty */
	STRM_EXPORT_MORE,			/* time is over */
	STRM_EXPORT_STALLED,		/* a sink takes no more */
	STRM_EXPORT_UNRIPE			/* the next transaction may not be seen yet, here or on standbys */
} StrmExportOutcome;

/* Delivers rows of the spool, in one transaction. */
extern StrmExportOutcome strm_export_deliver(StrmExportSession *session);
/* Sends what the exporter's record buffers hold. false: no room. */
extern bool strm_export_send(StrmExportExporter *exporter, const StrmExportRecord *record, const StrmPosition *position,
							 TimestampTz committed);
/* The exporter's encoder in this transaction; NULL: it was refused, and has failed. */
extern StrmExportEncoder *strm_export_encoder_of(StrmExportExporter *exporter);
/* Counts what is not sent. */
extern void strm_export_count(StrmExportExporter *exporter, StrmExportVerdict verdict, const StrmPosition *position);
/* Forgets encoders and wipes what they left. */
extern void strm_export_wipe(StrmExportSession *session);
extern void strm_export_forget_encoder(StrmExportExporter *exporter);
/* Moves transactional exporters forward. caught_up: there is nothing more to send at once. */
extern void strm_export_commit(StrmExportSession *session, bool caught_up);

/* --- export_backfill.c --- */

/* The exporter's definition was seen in the WAL: its live events begin there. */
extern void strm_export_take_seen(StrmExportExporter *exporter, const StrmExportSeen *seen);
/* Takes new exporters up; the spool is empty. Outside a transaction. */
extern void strm_export_take_up(StrmExportSession *session);
/* Reads existing events for a while. true: there is more to do at once. Outside a transaction. */
extern bool strm_export_existing(StrmExportSession *session);
/* The sink is ready: where to go on. */
extern void strm_export_existing_begin(StrmExportExporter *exporter);
/* Remembers, or forgets, the plan of the exporter's status. */
extern void strm_export_load_plan(StrmExportExporter *exporter);

/* --- export_known.c --- */

/* What a topic holds beyond the checkpoint of a lost slot: key links and nonces. */
extern StrmExportKnown *strm_export_known_read(StrmExportExporter *exporter, const StrmSinkConfig *config);
extern bool strm_export_known_has(const StrmExportKnown *known, const pg_uuid_t *key_link, int32 nonce);

#endif							/* STRM_WORKER_EXPORT_PRIVATE_H */
