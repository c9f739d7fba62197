/*
 * decoder.h
 *	  Logical decoding in this process: committed rows of streams, in the order of their commits, out of the WAL.
 *
 *	  A decoder belongs to one replication slot of this database, which this process holds. It is used outside
 *	  transactions, except where functions say otherwise. Callbacks of decoding only copy rows into a spool (memory up
 *	  to a limit, then a temporary file of ciphertext), so no transaction is too large, and nothing of ours runs under
 *	  a historic snapshot. The output plugin runs in export workers only, whoever else asks for it gets an error.
 */
#ifndef STRM_EXPORT_DECODER_H
#define STRM_EXPORT_DECODER_H

#include "access/htup.h"
#include "access/xlogdefs.h"
#include "datatype/timestamp.h"
#include "nodes/pg_list.h"

#define STRM_OUTPUT_PLUGIN "strm_privacy"

typedef struct StrmDecoder StrmDecoder;

/* One inserted row. */
typedef struct StrmDecodedRow
{
	Oid			relid;			/* the table it was stored in: of a partitioned stream a partition */
	TransactionId xid;			/* top-level */
	TimeLineID	timeline;
	XLogRecPtr	lsn;			/* start of the commit record; confirming it keeps this transaction */
	XLogRecPtr	end_lsn;		/* end of the commit record; confirming it lets this transaction go */
	uint64		sequence;		/* number among all inserted rows of the transaction: the same whenever decoded */
	TimestampTz committed;
	HeapTupleData tuple;		/* flat (no toast pointers); deform with the table's present descriptor */
} StrmDecodedRow;

/* Raises 55000 with a hint unless this server can decode (wal_level, replication slots). For any session. */
extern void strm_decoder_require(void);

/* Is there a slot of that name, of this database and our plugin? For any session. */
typedef enum StrmSlotState
{
	STRM_SLOT_MISSING,
	STRM_SLOT_FOREIGN,			/* of another database or plugin */
	STRM_SLOT_USABLE,
	STRM_SLOT_LOST				/* invalidated: WAL it needs was removed */
} StrmSlotState;

typedef struct StrmSlotInfo
{
	StrmSlotState state;
	XLogRecPtr	confirmed;
	XLogRecPtr	restart;
	int			active_pid;		/* 0: none */
	const char *wal_status;		/* as in pg_replication_slots */
	int64		safe_wal_size;	/* bytes; -1: no limit */
} StrmSlotInfo;

extern void strm_slot_read(const char *name, StrmSlotInfo *info);

/*
 * Makes the slot (a failover slot where there are such), persistent at its consistent point, which is returned. Waits
 * for running transactions; can be interrupted, and leaves nothing then. Outside a transaction.
 */
extern XLogRecPtr strm_slot_create(const char *name);

/* Names of all slots of this database and our plugin, in the current context. For any session. */
extern List *strm_slot_list(void);

/* Drops a slot of ours; nothing happens when there is none. wait: for who holds it. */
extern void strm_slot_drop(const char *name, bool wait);

/* Is this table's content wanted? Called in decoding callbacks: no catalog access but by syscache. */
typedef bool (*StrmDecoderWanted) (void *arg, Oid relid);

/*
 * Takes the slot and begins at its confirmed position; in the current memory context. Raises 55000 when it is lost.
 */
extern StrmDecoder *strm_decoder_open(const char *slot, StrmDecoderWanted wanted, void *arg);

/*
 * Reads WAL until about that many bytes of rows are spooled (a transaction is never cut), max_records records were
 * read, or its flushed end is reached. Only with an empty spool. Returns true when there is more to read.
 */
extern bool strm_decoder_read(StrmDecoder *decoder, Size bytes, int max_records);

/* End of what was read: everything committed before is in the spool or was taken out of it. */
extern XLogRecPtr strm_decoder_position(StrmDecoder *decoder);

/*
 * The next row of the spool; false when it is empty. The row lives until the next call. Inside a transaction or
 * outside. unread: what next gave last comes again.
 */
extern bool strm_decoder_next(StrmDecoder *decoder, StrmDecodedRow *row);
extern void strm_decoder_unread(StrmDecoder *decoder);

/* Begins again at the confirmed position; the spool is emptied. Outside a transaction. */
extern void strm_decoder_restart(StrmDecoder *decoder);

/* Moves the confirmed position forward; backward it does nothing. Outside a transaction. */
extern void strm_decoder_confirm(StrmDecoder *decoder, XLogRecPtr lsn);
extern XLogRecPtr strm_decoder_confirmed(StrmDecoder *decoder);

/* End of the WAL that is flushed, and so can be read. */
extern XLogRecPtr strm_decoder_flushed(void);

/*
 * Does WAL up to lsn may leave this server? On servers with failover slots: the standbys named in
 * synchronized_standby_slots have it. Never blocks.
 */
extern bool strm_decoder_may_publish(XLogRecPtr lsn);

#endif							/* STRM_EXPORT_DECODER_H */
