/*
 * inbox_watch.h
 *	  How many rows an inbox has, waiting until they are moved, and rows that were set aside.
 */
#ifndef STRM_INGEST_INBOX_WATCH_H
#define STRM_INGEST_INBOX_WATCH_H

#include "access/htup.h"
#include "utils/rel.h"
#include "utils/snapshot.h"
#include "utils/timestamp.h"

/* Of committed rows. */
typedef struct StrmInboxNumbers
{
	int64		rows;
	int64		waiting;		/* of these: those that were not set aside */
	int64		faults;			/* and those that were */
	TimestampTz oldest;			/* when the oldest row was queued; 0: there is none */
	int64		last;			/* highest number of one that waits */
} StrmInboxNumbers;

/* Counts the rows up to that number that snapshot sees, but for those of the present transaction. */
extern void strm_inbox_count(Relation inbox, Snapshot snapshot, int64 upto, StrmInboxNumbers *count);

typedef enum StrmInboxWait
{
	STRM_INBOX_WAIT_DONE,
	STRM_INBOX_WAIT_TIMEOUT,
	STRM_INBOX_WAIT_STALLED
} StrmInboxWait;

/*
 * Waits until all rows of the inbox that are committed by now have been moved or set aside; TIMEOUT after timeout ms,
 * STALLED when their number has not fallen for stall ms (each -1: never). *count: what is left of them.
 */
extern StrmInboxWait strm_inbox_wait(Oid inbox, int64 timeout, int64 stall, StrmInboxNumbers *count);

/* Writes a row's fault; NULL takes it away. The table is open with RowExclusiveLock. */
extern void strm_inbox_set_fault(Relation inbox, ItemPointer tid, HeapTuple tuple, const char *fault);

/* Has rows that were set aside tried again; returns how many. */
extern int64 strm_inbox_retry(Relation inbox);

#endif							/* STRM_INGEST_INBOX_WATCH_H */
