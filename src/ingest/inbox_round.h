/*
 * inbox_round.h
 *	  Which rows of an inbox are to be moved next.
 */
#ifndef STRM_INGEST_INBOX_ROUND_H
#define STRM_INGEST_INBOX_ROUND_H

#include "storage/block.h"
#include "storage/itemptr.h"

#include "ingest/inbox.h"

/* A queued row: its number, and where it is. */
typedef struct StrmQueuedRow
{
	int64		sequence;
	ItemPointerData tid;
} StrmQueuedRow;

/* What one scan of an inbox found. */
typedef struct StrmInboxRound
{
	StrmQueuedRow *places;		/* ascending */
	int			n;
	bool		more;			/* there were more than fit: they come after these */
	int64		rows;			/* committed rows of all lanes */
	BlockNumber pages;			/* of the table */
} StrmInboxRound;

/*
 * In a transaction with a snapshot: finds the rows without fault of the lanes with lane % of == index, the first ones
 * when they are many. places is in the current context and takes at most 16 MB.
 */
extern void strm_inbox_round(const StrmStream *stream, Relation inbox, int index, int of, StrmInboxRound *round);

#endif							/* STRM_INGEST_INBOX_ROUND_H */
