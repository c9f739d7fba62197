/*
 * backfill.c
 *	  Events that are in a stream's table already, a few pages at a time.
 *
 *	  Rows come in the order of tables (by OID), blocks and offsets, which never changes for a row of a table that is
 *	  not rewritten: so a later run can go on after any place. Pages are read through a small ring of buffers, as by
 *	  a sequential scan, and visibility is that of the caller's active snapshot: all transactions that `rows` has had
 *	  ended before that was taken.
 *
 *	  Rewritten tables. CLUSTER, VACUUM FULL and ALTER TABLE move rows to other places, TRUNCATE leaves none: all of
 *	  these give the table a new file. A table with another file than the plan's is read all the same; the first row
 *	  of the plan in it tells that it was rewritten and not truncated.
 *
 *	  A table that was dropped, or detached, has no rows of the stream any more. One that was attached since is not
 *	  in the plan: its rows came into the stream later.
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/relation.h"
#include "access/tableam.h"
#include "catalog/partition.h"
#include "catalog/pg_class.h"
#include "storage/bufmgr.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "common/errors.h"
#include "export/backfill.h"
#include "strm_privacy.h"

#define STRM_BACKFILL_TABLE(place) ((int) ((place) >> 48))
#define STRM_BACKFILL_BLOCK(place) ((BlockNumber) ((place) >> 16))
#define STRM_BACKFILL_OFFSET(place) ((OffsetNumber) (place))

struct StrmBackfillScan
{
	const StrmBackfillPlan *plan;
	uint64		place;			/* all rows up to it were given */
	int			pages;			/* read since begin */
	Relation	rel;			/* table of place, while it is read; or NULL */
	bool		rewritten;		/* rel has another file than the plan says */
	TableScanDesc scan;			/* of rel, up to and without block end; or NULL */
	BlockNumber end;
	BlockNumber lsn_block;		/* block that lsn is of */
	XLogRecPtr	lsn;			/* page LSN; 0 when changes of rel's pages are not in the WAL */
};

StrmBackfillScan *
strm_backfill_begin(const StrmBackfillPlan *plan, uint64 after)
{
	StrmBackfillScan *scan = palloc0(sizeof(StrmBackfillScan));

	scan->plan = plan;
	scan->place = after;
	return scan;
}

/* Is the table still part of the plan's stream? */
static bool
strm_backfill_belongs(const StrmBackfillPlan *plan, Oid relid)
{
	List	   *ancestors;
	bool		result;

	if (relid == plan->stream)
		return true;
	ancestors = get_partition_ancestors(relid);
	result = list_member_oid(ancestors, plan->stream);
	list_free(ancestors);
	return result;
}

/* Opens the table of the scan's place; false when it has no rows of the stream. */
static bool
strm_backfill_open(StrmBackfillScan *scan)
{
	const StrmBackfillTable *table = &scan->plan->tables[STRM_BACKFILL_TABLE(scan->place)];
	Relation	rel = try_relation_open(table->relid, AccessShareLock);

	if (rel == NULL)
		return false;
	if (rel->rd_rel->relkind != RELKIND_RELATION || !strm_backfill_belongs(scan->plan, table->relid))
	{
		relation_close(rel, NoLock);
		return false;
	}
	scan->rel = rel;
	scan->rewritten = rel->rd_rel->relfilenode != table->file;
	return true;
}

/* Leaves the table of the scan's place for the beginning of the next one. The lock stays to the transaction's end. */
static void
strm_backfill_leave(StrmBackfillScan *scan)
{
	if (scan->rel != NULL)
		relation_close(scan->rel, NoLock);
	scan->rel = NULL;
	scan->place = STRM_BACKFILL_PLACE(STRM_BACKFILL_TABLE(scan->place) + 1, 0, 0);
}

/* First block that is not all read at the scan's place. */
static BlockNumber
strm_backfill_first_block(const StrmBackfillScan *scan)
{
	return STRM_BACKFILL_BLOCK(scan->place) + (STRM_BACKFILL_OFFSET(scan->place) == PG_UINT16_MAX ? 1 : 0);
}

/* Begins to read pages, as many as are allowed and there; false when there is none left in the table. */
static bool
strm_backfill_start(StrmBackfillScan *scan, int max_pages)
{
	BlockNumber first = strm_backfill_first_block(scan);
	BlockNumber last = RelationGetNumberOfBlocks(scan->rel);

	if (!scan->rewritten)
		last = Min(last, scan->plan->tables[STRM_BACKFILL_TABLE(scan->place)].blocks);
	if (first >= last)
		return false;
	scan->end = first + Min(last - first, (BlockNumber) (max_pages - scan->pages));
	scan->lsn_block = InvalidBlockNumber;
	scan->scan = table_beginscan_strat(scan->rel, GetActiveSnapshot(), 0, NULL, true, false);
	heap_setscanlimits(scan->scan, first, scan->end - first);
	scan->pages += scan->end - first;
	return true;
}

/* All pages that were begun are read. */
static void
strm_backfill_stop(StrmBackfillScan *scan)
{
	table_endscan(scan->scan);
	scan->scan = NULL;
	scan->place = STRM_BACKFILL_PLACE(STRM_BACKFILL_TABLE(scan->place), scan->end - 1, PG_UINT16_MAX);
}

/* LSN of the scan's present page, read after its rows were; once for the page, as it only grows. */
static XLogRecPtr
strm_backfill_page_lsn(StrmBackfillScan *scan)
{
	Buffer		buffer = ((HeapScanDesc) scan->scan)->rs_cbuf;

	if (scan->lsn_block != BufferGetBlockNumber(buffer))
	{
		LockBuffer(buffer, BUFFER_LOCK_SHARE);
		scan->lsn = RelationNeedsWAL(scan->rel) ? PageGetLSN(BufferGetPage(buffer)) : InvalidXLogRecPtr;
		LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
		scan->lsn_block = BufferGetBlockNumber(buffer);
	}
	return scan->lsn;
}

/* Is it one of the plan's rows? */
static bool
strm_backfill_wants(StrmBackfillScan *scan, HeapTuple tuple)
{
	const StrmBackfillPlan *plan = scan->plan;
	XLogRecPtr	lsn = strm_backfill_page_lsn(scan);

	return strm_snapshot_has_row(plan->rows, tuple->t_data, lsn) &&
		(plan->except == NULL || !strm_snapshot_has_row(plan->except, tuple->t_data, lsn));
}

/* The next of the plan's rows among the pages that were begun; false when there is none. */
static bool
strm_backfill_fetch(StrmBackfillScan *scan, StrmBackfillRow *row)
{
	int			table = STRM_BACKFILL_TABLE(scan->place);
	HeapTuple	tuple;

	while ((tuple = heap_getnext(scan->scan, ForwardScanDirection)) != NULL)
	{
		uint64		place = STRM_BACKFILL_PLACE(table, ItemPointerGetBlockNumber(&tuple->t_self),
												ItemPointerGetOffsetNumber(&tuple->t_self));

		if (place <= scan->place || !strm_backfill_wants(scan, tuple))
			continue;
		if (scan->rewritten)
			ereport(ERROR,
					errcode(STRM_ERR_STATE),
					errmsg("table \"%s\" was rewritten before all of its events were published",
						   RelationGetRelationName(scan->rel)),
					errhint("Create the exporter anew; do not run VACUUM FULL, CLUSTER or ALTER TABLE on a stream while existing events are published."));
		scan->place = place;
		row->relid = RelationGetRelid(scan->rel);
		row->place = place;
		row->tuple = tuple;
		return true;
	}
	return false;
}

bool
strm_backfill_next(StrmBackfillScan *scan, StrmBackfillRow *row, int max_pages, bool *done)
{
	*done = false;
	for (;;)
	{
		if (scan->scan != NULL)
		{
			if (strm_backfill_fetch(scan, row))
				return true;
			strm_backfill_stop(scan);
		}
		*done = STRM_BACKFILL_TABLE(scan->place) >= scan->plan->ntables;
		if (*done || scan->pages >= max_pages)
			return false;
		if ((scan->rel == NULL && !strm_backfill_open(scan)) || !strm_backfill_start(scan, max_pages))
			strm_backfill_leave(scan);
	}
}

uint64
strm_backfill_place(StrmBackfillScan *scan)
{
	return scan->place;
}

void
strm_backfill_end(StrmBackfillScan *scan)
{
	if (scan->scan != NULL)
		table_endscan(scan->scan);
	if (scan->rel != NULL)
		relation_close(scan->rel, NoLock);
	pfree(scan);
}
