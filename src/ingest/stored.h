/*
 * stored.h
 *	  Did the current transaction store rows in a stream? Whoever wants to act on that when it ends asks here.
 */
#ifndef STRM_INGEST_STORED_H
#define STRM_INGEST_STORED_H

/* For the insert trigger, through which all rows of streams come. */
extern void strm_stored_note(void);

/*
 * For one callback at the end of transactions: what it was, and begins anew. Also true when what stored rows was
 * rolled back to a savepoint, or when the row was not stored after all.
 */
extern bool strm_stored_take(void);

#endif							/* STRM_INGEST_STORED_H */
