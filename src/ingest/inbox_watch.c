/*
 * inbox_watch.c
 *	  How many rows an inbox has, waiting until they are moved, and rows that were set aside.
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/latch.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"

#include "ingest/inbox_columns.h"
#include "ingest/inbox_watch.h"
#include "strm_privacy.h"

/* ms between two looks, growing */
#define STRM_WATCH_FIRST 2
#define STRM_WATCH_MAX 100

static bool
strm_inbox_is_own(TupleTableSlot *slot)
{
	HeapTuple	tuple = ExecFetchSlotHeapTuple(slot, false, NULL);

	return TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetXmin(tuple->t_data));
}

void
strm_inbox_count(Relation inbox, Snapshot snapshot, int64 upto, StrmInboxNumbers *count)
{
	StrmInboxColumns *columns = strm_inbox_columns_find(NULL, RelationGetDescr(inbox));
	TupleTableSlot *slot = table_slot_create(inbox, NULL);
	TableScanDesc scan = table_beginscan(inbox, snapshot, 0, NULL);

	memset(count, 0, sizeof(StrmInboxNumbers));
	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		int64		sequence;
		TimestampTz queued_at;

		CHECK_FOR_INTERRUPTS();
		slot_getallattrs(slot);
		sequence = DatumGetInt64(slot->tts_values[columns->sequence]);
		queued_at = DatumGetTimestampTz(slot->tts_values[columns->queued_at]);
		if (sequence > upto || strm_inbox_is_own(slot))
			continue;
		count->rows++;
		if (count->oldest == 0 || queued_at < count->oldest)
			count->oldest = queued_at;
		if (!slot->tts_isnull[columns->fault])
			count->faults++;
		else
		{
			count->waiting++;
			count->last = Max(count->last, sequence);
		}
	}
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	pfree(columns);
}

/* As strm_inbox_count, of the table as it is now; nothing of a table that was dropped meanwhile. */
static void
strm_inbox_count_now(Oid oid, int64 upto, StrmInboxNumbers *count)
{
	Relation	inbox = try_table_open(oid, AccessShareLock);
	Snapshot	snapshot;

	memset(count, 0, sizeof(StrmInboxNumbers));
	if (inbox == NULL)
		return;
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	strm_inbox_count(inbox, snapshot, upto, count);
	UnregisterSnapshot(snapshot);
	table_close(inbox, AccessShareLock);
}

StrmInboxWait
strm_inbox_wait(Oid inbox, int64 timeout, int64 stall, StrmInboxNumbers *count)
{
	TimestampTz begun = GetCurrentTimestamp();
	TimestampTz progress = begun;
	long		pause = STRM_WATCH_FIRST;
	int64		upto;
	int64		waiting;

	strm_inbox_count_now(inbox, PG_INT64_MAX, count);
	upto = count->last;
	waiting = count->waiting;
	while (count->waiting > 0)
	{
		TimestampTz now = GetCurrentTimestamp();
		TimestampTz looked;

		if (timeout >= 0 && now - begun >= timeout * 1000)
			return STRM_INBOX_WAIT_TIMEOUT;
		if (stall >= 0 && now - progress >= stall * 1000)
			return STRM_INBOX_WAIT_STALLED;
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, pause, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();

		looked = GetCurrentTimestamp();
		strm_inbox_count_now(inbox, upto, count);
		if (count->waiting < waiting)
			progress = now;
		waiting = Min(waiting, count->waiting);
		/* looking at a long queue shall not be all that the server does */
		pause = Max(Min(pause * 2, STRM_WATCH_MAX), 2 * TimestampDifferenceMilliseconds(looked, GetCurrentTimestamp()));
	}
	return STRM_INBOX_WAIT_DONE;
}

/*
 * The access method of an inbox refuses updates, as they could bring plaintext: here its heap is meant. An inbox has no
 * index.
 */
void
strm_inbox_set_fault(Relation inbox, ItemPointer tid, HeapTuple tuple, const char *fault)
{
	TupleDesc	desc = RelationGetDescr(inbox);
	StrmInboxColumns *columns = strm_inbox_columns_find(NULL, desc);
	Datum	   *values = palloc0(desc->natts * sizeof(Datum));
	bool	   *nulls = palloc0(desc->natts * sizeof(bool));
	bool	   *replace = palloc0(desc->natts * sizeof(bool));
	HeapTuple	changed;

	replace[columns->fault] = true;
	nulls[columns->fault] = fault == NULL;
	if (fault != NULL)
		values[columns->fault] = CStringGetTextDatum(fault);
	changed = heap_modify_tuple(tuple, desc, values, nulls, replace);
	strm_heap_update(inbox, tid, changed);
	heap_freetuple(changed);
}

int64
strm_inbox_retry(Relation inbox)
{
	StrmInboxColumns *columns = strm_inbox_columns_find(NULL, RelationGetDescr(inbox));
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	TupleTableSlot *slot = table_slot_create(inbox, NULL);
	TableScanDesc scan = table_beginscan(inbox, snapshot, 0, NULL);
	int64		n = 0;

	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		ItemPointerData tid = slot->tts_tid;

		CHECK_FOR_INTERRUPTS();
		if (slot_attisnull(slot, columns->fault + 1))
			continue;
		strm_inbox_set_fault(inbox, &tid, ExecFetchSlotHeapTuple(slot, false, NULL), NULL);
		n++;
	}
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	UnregisterSnapshot(snapshot);
	CommandCounterIncrement();
	return n;
}
