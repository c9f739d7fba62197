/*
 * inbox.h
 *	  The queue of a stream with ingest => 'queued': the table <stream>_inbox, for INSERT and COPY by producers.
 *
 *	  Its table access method (inbox_am.c) is the heap's, but for inserting: a row is checked against the data contract
 *	  at once, and stored sealed whole in one column (one authenticated encryption under the inbox's own key), with the
 *	  producer's columns NULL, so that no plaintext reaches table, WAL or an index. Ingest workers (worker/) open the
 *	  rows, and encrypt them, field by field, into the stream.
 */
#ifndef STRM_INGEST_INBOX_H
#define STRM_INGEST_INBOX_H

#include "access/htup.h"
#include "utils/rel.h"

#include "catalog/stream.h"
#include "transform/layout.h"

/* An inbox's own columns, behind the producer's: strm_consent_levels and the contract's fields. */
#define STRM_INBOX_QUEUED_AT "strm_queued_at"	/* timestamptz: when the row was inserted */
#define STRM_INBOX_SEQUENCE "strm_sequence" /* bigint: ascending in the order of insertion */
#define STRM_INBOX_LANE "strm_lane" /* smallint, 0 .. STRM_INBOX_LANES - 1: keyed hash of the key field value */
#define STRM_INBOX_SEALED "strm_sealed" /* bytea: the row */
#define STRM_INBOX_FAULT "strm_fault"	/* text: SQLSTATE with which the stream refused the row; NULL: not tried */

/* Rows with equal key field values are in one lane; workers share the lanes among them. */
#define STRM_INBOX_LANES 64

#define STRM_INBOX_SUFFIX "_inbox"

/* The inbox of a stream, InvalidOid when it has none; the stream of an inbox, NULL when the table is none. */
extern Oid	strm_inbox_of(const pg_uuid_t *stream);
extern StrmStream *strm_inbox_stream(Oid inbox);

/* Streams of this database that have an inbox, as list of StrmStream, in the current context. */
extern List *strm_inbox_streams(void);

typedef struct StrmInboxReader StrmInboxReader;

/* What a queued row says of itself without being opened. */
typedef struct StrmInboxEntry
{
	int64		sequence;
	TimestampTz queued_at;
	int			lane;
	bool		fault;
} StrmInboxEntry;

/*
 * For the ingest worker, in a transaction: reads rows of an inbox. In the current context; raises 55000 without the
 * master key that wraps the inbox's key.
 */
extern StrmInboxReader *strm_inbox_reader(const StrmStream *stream, Relation inbox);
extern void strm_inbox_entry(StrmInboxReader *reader, HeapTuple tuple, StrmInboxEntry *entry);

/*
 * Opens a row into values and nulls by the positions of layout, which is of the stream's table: consent levels and
 * fields, personal ones as canonical text, all in the current context. *timestamp: of the transaction that queued it,
 * in whole milliseconds. Raises XX001 (private) when the row is not one that this server sealed for this inbox.
 */
extern void strm_inbox_open(StrmInboxReader *reader, HeapTuple tuple, const StrmLayout *layout, Datum *values,
							bool *nulls, TimestampTz *timestamp);

/* The same; false for a row that this server did not seal for this inbox. */
extern bool strm_inbox_try_open(StrmInboxReader *reader, HeapTuple tuple, const StrmLayout *layout, Datum *values,
								bool *nulls, TimestampTz *timestamp);

/*
 * How many committed rows wait, as far as known: what the ingest worker counted last, and what was queued since. -1:
 * not known. Not exact: back-pressure goes by it.
 */
extern int64 strm_inbox_pending(Oid inbox);

/* The ingest worker: that many wait; that many were moved. Wakes producers that wait for room. */
extern void strm_inbox_counted(Oid inbox, int64 pending);
extern void strm_inbox_moved(Oid inbox, int64 rows);

/* For one callback at the end of transactions: did this one queue rows? Begins anew. As ingest/stored.h. */
extern bool strm_inbox_take(void);

/*
 * Is this process an ingest worker? It runs triggers of streams, which may queue rows or wait for such: it is not held
 * up by a full inbox, and must not wait for itself.
 */
extern bool strm_inbox_is_worker;

/*
 * Called by a producer for whom an inbox of this database is full, now and then: has the workers count again, as rows
 * may be gone that no worker moved. Set once, by _PG_init.
 */
extern void (*strm_inbox_recount) (Oid database);

/* Shared memory; called once, by _PG_init. */
extern void strm_inbox_init(void);

#endif							/* STRM_INGEST_INBOX_H */
