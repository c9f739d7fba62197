/*
 * backfill.h
 *	  Events that are in a stream's table already: read in the order of their places (tables by OID, then TID), some
 *	  pages at a time, so that a run can go on where an earlier one ended.
 *
 *	  Read are committed rows, in transactions of the caller's: what was deleted meanwhile is not seen. Of these, the
 *	  rows that snapshot `rows` has and snapshot `except` (may be NULL) has not.
 */
#ifndef STRM_EXPORT_BACKFILL_H
#define STRM_EXPORT_BACKFILL_H

#include "access/htup.h"
#include "utils/uuid.h"

#include "export/snapshot.h"

/* What a backfill reads; kept in strm.kafka_exporter_state as text. */
typedef struct StrmBackfillPlan
{
	StrmSnapshot *rows;
	XLogRecPtr	rows_lsn;		/* transactions that commit at or after it are not in `rows` */
	StrmSnapshot *except;		/* or NULL */
	XLogRecPtr	except_lsn;		/* pages not changed since then have only rows of `except`; 0: unknown */
	bool		done;			/* all rows are published; `rows` still tells what live events to skip */
	int			ntables;
	Oid		   *tables;			/* ascending */
	Oid		   *files;			/* relfilenodes: a rewritten table has its rows in other places */
} StrmBackfillPlan;

/* Place of a row, as sequence of its position: table number, block, offset; grows in reading order. */
#define STRM_BACKFILL_PLACE(table, block, offset) \
	(((uint64) (table) << 48) | ((uint64) (block) << 16) | (uint64) (offset))

/* The plan of a stream as of now (its tables), in the current context. rows and except are the caller's. */
extern StrmBackfillPlan *strm_backfill_plan(Oid stream, StrmSnapshot *rows, XLogRecPtr rows_lsn, StrmSnapshot *except,
											XLogRecPtr except_lsn);

extern char *strm_backfill_plan_text(const StrmBackfillPlan *plan);
extern StrmBackfillPlan *strm_backfill_plan_parse(const char *text);

typedef struct StrmBackfillRow
{
	Oid			relid;
	uint64		place;
	HeapTuple	tuple;			/* detoasted where needed by who reads it: lives to the end of the transaction */
} StrmBackfillRow;

typedef struct StrmBackfillScan StrmBackfillScan;

/*
 * In a transaction: begins to read after a place (0: at the beginning), in the current context. Raises 55000 when a
 * table was rewritten since the plan was made; a table that was dropped has no rows.
 */
extern StrmBackfillScan *strm_backfill_begin(const StrmBackfillPlan *plan, uint64 after);

/* The next row; false when at most max_pages pages were read since begin: *done tells whether all were. */
extern bool strm_backfill_next(StrmBackfillScan *scan, StrmBackfillRow *row, int max_pages, bool *done);

/* Place to begin after the next time. */
extern uint64 strm_backfill_place(StrmBackfillScan *scan);
extern void strm_backfill_end(StrmBackfillScan *scan);

#endif							/* STRM_EXPORT_BACKFILL_H */
