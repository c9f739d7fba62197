/*
 * inbox_erase.c
 *	  Deleting rows of data subjects that were set aside in an inbox.
 *
 *	  Such a row never got a data key, so there is none to destroy: it is opened, and deleted if it is one of theirs. So
 *	  is a row of the present transaction, which no worker can move yet. What others have committed, and is not set
 *	  aside, was moved before, or was queued later than the call.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "ingest/inbox.h"
#include "ingest/inbox_erase.h"
#include "strm_privacy.h"
#include "transform/value.h"

/* What erasing needs at hand. */
typedef struct StrmInboxErasing
{
	const StrmStream *stream;
	Relation	inbox;
	StrmInboxReader *reader;	/* NULL: there was no row yet */
	StrmLayout *layout;
	Datum	   *values;			/* of a row of the stream */
	bool	   *nulls;
	text	   *const *subjects;
	int			n;
} StrmInboxErasing;

/* Is the value that was opened one of the subjects? */
static bool
strm_inbox_erase_matches(const StrmInboxErasing *erasing)
{
	int			ordinal = erasing->stream->contract->subject_field;
	const StrmField *field = &erasing->stream->contract->fields[ordinal];
	int			at = erasing->layout->fields[ordinal];
	StringInfoData buffer;
	const char *value;
	Size		size;

	if (erasing->nulls[at])
		return false;
	if (field->personal)
	{
		value = VARDATA_ANY(DatumGetPointer(erasing->values[at]));
		size = VARSIZE_ANY_EXHDR(DatumGetPointer(erasing->values[at]));
	}
	else
	{
		initStringInfo(&buffer);
		strm_value_text(field, erasing->values[at], &buffer, &value, &size);
	}
	for (int i = 0; size > 0 && i < erasing->n; i++)
	{
		if (VARSIZE_ANY_EXHDR(erasing->subjects[i]) == size &&
			memcmp(VARDATA_ANY(erasing->subjects[i]), value, size) == 0)
			return true;
	}
	return false;
}

/*
 * Was the row set aside, or queued or changed by this transaction? One that was changed at all was set aside once: it
 * may have been given another try since it was last looked whether any row waits.
 */
static bool
strm_inbox_erase_concerns(const StrmInboxErasing *erasing, HeapTuple tuple)
{
	StrmInboxEntry entry;

	strm_inbox_entry(erasing->reader, tuple, &entry);
	return entry.fault || (tuple->t_data->t_infomask & HEAP_UPDATED) != 0 ||
		TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetXmin(tuple->t_data));
}

static void
strm_inbox_erase_row(StrmInboxErasing *erasing, TupleTableSlot *slot, Snapshot snapshot, StrmInboxErased *erased)
{
	HeapTuple	tuple = ExecFetchSlotHeapTuple(slot, false, NULL);
	ItemPointerData tid = slot->tts_tid;
	TM_FailureData failure;
	TimestampTz timestamp;

	if (!strm_inbox_erase_concerns(erasing, tuple))
		return;
	if (!strm_inbox_try_open(erasing->reader, tuple, erasing->layout, erasing->values, erasing->nulls, &timestamp))
	{
		erased->closed++;
		return;
	}
	if (!strm_inbox_erase_matches(erasing))
		return;
	switch (table_tuple_delete(erasing->inbox, &tid, GetCurrentCommandId(true), snapshot, InvalidSnapshot, true,
							   &failure, false))
	{
		case TM_Ok:
			erased->deleted++;
			break;
		case TM_Deleted:
			break;
		default:
			erased->lost = true;
			break;
	}
}

void
strm_inbox_erase(const StrmStream *stream, Relation table, Relation inbox, text *const *subjects, int n,
				 StrmInboxErased *erased)
{
	int			natts = RelationGetDescr(table)->natts;
	MemoryContext row_cxt = AllocSetContextCreate(CurrentMemoryContext, "strm_privacy inbox row",
												  ALLOCSET_DEFAULT_SIZES);
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	TupleTableSlot *slot = table_slot_create(inbox, NULL);
	TableScanDesc scan = table_beginscan(inbox, snapshot, 0, NULL);
	StrmInboxErasing erasing = {.stream = stream,.inbox = inbox,.subjects = subjects,.n = n};

	memset(erased, 0, sizeof(StrmInboxErased));
	erasing.layout = strm_layout_make(stream, RelationGetDescr(table));
	erasing.values = palloc0(natts * sizeof(Datum));
	erasing.nulls = palloc0(natts * sizeof(bool));
	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		MemoryContext old;

		CHECK_FOR_INTERRUPTS();
		if (erasing.reader == NULL)
			erasing.reader = strm_inbox_reader(stream, inbox);
		old = MemoryContextSwitchTo(row_cxt);
		strm_inbox_erase_row(&erasing, slot, snapshot, erased);
		MemoryContextSwitchTo(old);
		MemoryContextReset(row_cxt);
	}
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	UnregisterSnapshot(snapshot);
	MemoryContextDelete(row_cxt);
	CommandCounterIncrement();
}
