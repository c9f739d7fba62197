/*
 * inbox_rotate.h
 *	  Replacing the key that seals an inbox's rows, and forgetting those that were replaced.
 */
#ifndef STRM_INGEST_INBOX_ROTATE_H
#define STRM_INGEST_INBOX_ROTATE_H

#include "storage/lock.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "catalog/stream.h"

/* What one worker knows of an inbox's keys. Start from {0}; users is in cxt. */
typedef struct StrmInboxRotation
{
	TimestampTz next;			/* when to look again */
	int32		current;		/* the key since which users are told; 0: none */
	VirtualTransactionId *users;	/* transactions that may know an older key only */
	int			nusers;
} StrmInboxRotation;

/* Makes a new key of that id. */
extern void strm_inbox_rotate_make(const pg_uuid_t *stream, int32 id);

/* Is it time to look at the keys? */
extern bool strm_inbox_rotate_is_due(const StrmInboxRotation *rotation);

/*
 * One worker of an inbox, in a transaction of its own, in which it has written nothing: makes a new key when the
 * present one has served for the stream's key rotation, or a day; forgets those that were replaced half a day ago,
 * when that is possible.
 */
extern void strm_inbox_rotate(const StrmStream *stream, Relation inbox, StrmInboxRotation *rotation,
							  MemoryContext cxt);

#endif							/* STRM_INGEST_INBOX_ROTATE_H */
