/*
 * inbox_columns.h
 *	  Where the columns of an inbox are, and what a row's sealed form is bound to.
 */
#ifndef STRM_INGEST_INBOX_COLUMNS_H
#define STRM_INGEST_INBOX_COLUMNS_H

#include "access/tupdesc.h"

#include "catalog/stream.h"

/* Positions in the tuple descriptor, counted from 0. */
typedef struct StrmInboxColumns
{
	int			queued_at;
	int			sequence;
	int			lane;
	int			sealed;
	int			fault;
	int			consent_levels; /* -1 when the stream is not known */
	int		   *fields;			/* of the contract's fields, by ordinal; NULL when the stream is not known */
} StrmInboxColumns;

/*
 * Finds the columns, in the current context; those of the contract unless stream is NULL. Raises 55000 when one is
 * missing or has another type.
 */
extern StrmInboxColumns *strm_inbox_columns_find(const StrmStream *stream, TupleDesc desc);

/* Is the column at that position one of the inbox's own? */
extern bool strm_inbox_columns_own(const StrmInboxColumns *columns, int position);

/* What of a row stands beside its sealed form, and is authenticated with it: sequence, lane, time of queueing. */
#define STRM_INBOX_AD_SIZE 18
extern void strm_inbox_columns_ad(const StrmInboxColumns *columns, const Datum *values,
								  uint8 ad[STRM_INBOX_AD_SIZE]);

#endif							/* STRM_INGEST_INBOX_COLUMNS_H */
