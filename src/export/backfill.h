/*
 * backfill.h
 *	  Events that are in a stream's table already: read in the order of their places (tables by OID, then TID), some
 *	  pages at a time, so that a run can go on where an earlier one ended.
 *
 *	  Read are committed rows, in transactions of the caller's: what was deleted meanwhile is not seen, nor is the
 *	  content of tables that are no longer part of the stream. Of these, the rows that snapshot `rows` has and snapshot
 *	  `except` (may be NULL) has not.
 */
#ifndef STRM_EXPORT_BACKFILL_H
#define STRM_EXPORT_BACKFILL_H

#include "access/htup.h"
#include "storage/block.h"

#include "export/snapshot.h"

/* A table to read. */
typedef struct StrmBackfillTable
{
	Oid			relid;
	Oid			file;			/* relfilenode: a rewritten table has its rows in other places */
	BlockNumber blocks;			/* behind them are only rows that `rows` has not */
} StrmBackfillTable;

/* What a backfill reads; kept in strm.kafka_exporter_state as text. */
typedef struct StrmBackfillPlan
{
	Oid			stream;
	StrmSnapshot *rows;
	XLogRecPtr	rows_lsn;		/* transactions that commit at or after it are not in `rows` */
	StrmSnapshot *except;		/* or NULL */
	bool		done;			/* all rows are published; `rows` still tells what live events to skip */
	int			ntables;
	StrmBackfillTable *tables;	/* by OID, ascending */
} StrmBackfillPlan;

/* Place of a row, as sequence of its position: table number, block, offset; grows in reading order. Never 0. */
#define STRM_BACKFILL_PLACE(table, block, offset) \
	(((uint64) (table) << 48) | ((uint64) (block) << 16) | (uint64) (offset))

/*
 * Locks a stream's tables (AccessShareLock), in the transaction that takes `rows` and makes the plan, and before: waits
 * for who moves rows from one partition to another, so that `rows` has that, or nothing is moved until the backfill is
 * done.
 */
extern void strm_backfill_lock(Oid stream);

/*
 * The plan of a stream as of now (its tables), in the current context. rows, which was taken before, and except are the
 * caller's. Raises 54000 when the stream has more than 65535 partitions.
 */
extern StrmBackfillPlan *strm_backfill_plan(Oid stream, StrmSnapshot *rows, XLogRecPtr rows_lsn, StrmSnapshot *except);

/* As text, and back: raises XX001 when it is none. */
extern char *strm_backfill_plan_text(const StrmBackfillPlan *plan);
extern StrmBackfillPlan *strm_backfill_plan_parse(const char *text);

typedef struct StrmBackfillRow
{
	Oid			relid;
	uint64		place;
	HeapTuple	tuple;			/* in the server's buffer; lives until the next call */
} StrmBackfillRow;

typedef struct StrmBackfillScan StrmBackfillScan;

/*
 * In a transaction with an active snapshot that was pushed after `rows` was taken, and stays to the end of the scan:
 * begins to read after a place (0: at the beginning), in the current context.
 */
extern StrmBackfillScan *strm_backfill_begin(const StrmBackfillPlan *plan, uint64 after);

/*
 * The next row; false when max_pages pages (the same number with every call) were read since begin, or all: *done tells
 * whether it were all. Raises 55000 when a table was rewritten since the plan was made and has such rows still (a
 * truncated one has none).
 */
extern bool strm_backfill_next(StrmBackfillScan *scan, StrmBackfillRow *row, int max_pages, bool *done);

/* Place to begin after the next time: all rows up to it were given. */
extern uint64 strm_backfill_place(StrmBackfillScan *scan);
extern void strm_backfill_end(StrmBackfillScan *scan);

#endif							/* STRM_EXPORT_BACKFILL_H */
