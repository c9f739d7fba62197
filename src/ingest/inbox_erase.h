/*
 * inbox_erase.h
 *	  Deleting rows of data subjects that were set aside in an inbox.
 */
#ifndef STRM_INGEST_INBOX_ERASE_H
#define STRM_INGEST_INBOX_ERASE_H

#include "utils/rel.h"

#include "catalog/stream.h"

/* How it went. */
typedef struct StrmInboxErased
{
	int64		deleted;
	int64		closed;			/* set aside, and not authentic: whose rows they are cannot be told */
	bool		lost;			/* a row was tried again meanwhile: look for it in the stream */
} StrmInboxErased;

/*
 * Deletes the rows that were set aside, and those of the present transaction, whose data subject is one of n; empty
 * ones are nobody's. The stream's contract has a data subject field; table is the stream's, and inbox is open with
 * RowExclusiveLock. Raises 55000 without the master key, unless the inbox is empty.
 */
extern void strm_inbox_erase(const StrmStream *stream, Relation table, Relation inbox, text *const *subjects, int n,
							 StrmInboxErased *erased);

#endif							/* STRM_INGEST_INBOX_ERASE_H */
