/*
 * inbox_move.h
 *	  Moving queued rows into their stream.
 */
#ifndef STRM_INGEST_INBOX_MOVE_H
#define STRM_INGEST_INBOX_MOVE_H

#include "ingest/inbox_round.h"

/* How a batch went. */
typedef struct StrmInboxMoved
{
	int			taken;			/* places that were dealt with: moved, or set aside */
	int			moved;
	int			faults;			/* set aside */
	int			sqlstate;		/* of the first of these */
	char	   *message;		/* of that; without values */
	bool		lost;			/* the next place does not have its row any more: look again where rows are */
} StrmInboxMoved;

/* Raises 55000 when no row of the stream can be moved now: that is no fault of the rows. */
extern void strm_inbox_move_check(const StrmStream *stream);

/*
 * Moves rows from the first of n places on, as many as suit one transaction, in this one: takes them out of the inbox,
 * encrypts them and inserts them into the stream; both tables are open with RowExclusiveLock. What that may call of
 * users runs as the current user. Memory is taken from the current context and not given back. Raises what the stream
 * refuses; then nothing of it may be committed.
 */
extern void strm_inbox_move(const StrmStream *stream, Relation table, Relation inbox, const StrmQueuedRow *places,
							int n, StrmInboxMoved *moved);

/*
 * The same, row by row: what the stream refuses stays in the inbox with the SQLSTATE as its fault. Raises what is not
 * a row's fault.
 */
extern void strm_inbox_move_each(const StrmStream *stream, Relation table, Relation inbox,
								 const StrmQueuedRow *places, int n, StrmInboxMoved *moved);

/* Does an error of that SQLSTATE speak of the row, rather than of the server or the moment? */
extern bool strm_inbox_move_is_fault(int sqlstate);

#endif							/* STRM_INGEST_INBOX_MOVE_H */
