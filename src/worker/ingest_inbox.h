/*
 * ingest_inbox.h
 *	  What an ingest worker does for one inbox.
 */
#ifndef STRM_WORKER_INGEST_INBOX_H
#define STRM_WORKER_INGEST_INBOX_H

#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "ingest/inbox_rotate.h"
#include "worker/ingest_slot.h"

#define STRM_INGEST_BATCH 5000	/* rows of a transaction, at most */

/* What a worker remembers of an inbox, in TopMemoryContext or below. Start from {stream}. */
typedef struct StrmIngestInbox
{
	pg_uuid_t	stream;
	char		name[NAMEDATALEN];
	bool		listed;			/* it exists */
	int64		moved;			/* by the last look */
	int64		scan_ms;		/* that it took to find the rows */
	int			failures;		/* in a row */
	int			sqlstate;		/* of the last one; it was logged */
	TimestampTz next;			/* when to look again after a failure */
	uint64		generation;		/* of the catalog when it failed: what changed since may have mended it */
	TimestampTz told;			/* strm.entity_log of rows that were set aside */
	int64		deleted;		/* rows, since it was vacuumed last */
	int64		scanned;		/* pages, since then */
	TimestampTz truncated;		/* when it was tried last to make it shorter */
	StrmInboxRotation rotation; /* of its keys */
} StrmIngestInbox;

/*
 * Outside a transaction: looks at the inbox, moves what is there, and vacuums the inbox when it is time to. Does not
 * raise for what concerns this inbox only. Uses the current context.
 */
extern void strm_ingest_inbox(StrmIngestInbox *inbox, const StrmIngestShare *share);

#endif							/* STRM_WORKER_INGEST_INBOX_H */
