/*
 * inbox_move.c
 *	  Moving queued rows into their stream: out of the inbox and into the stream in one transaction, so that each is in
 *	  exactly one of them, whatever happens.
 *
 *	  The caller is the only one who takes rows of these lanes, but not the only one who may delete them, and a command
 *	  may have given the table new files: each row is looked at again before it is taken. When one is not where it was,
 *	  the batch ends there. So no later row of its key overtakes it.
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "common/errors.h"
#include "ingest/inbox_move.h"
#include "ingest/inbox_watch.h"
#include "ingest/stream_insert.h"
#include "keys/master_key.h"
#include "strm_privacy.h"
#include "transform/encrypt.h"

/* Rows of one batch have no more sealed bytes than that, but for the last one. */
#define STRM_MOVE_BYTES (4 * 1024 * 1024)

/* What moving a batch needs at hand. */
typedef struct StrmInboxMove
{
	const StrmStream *stream;
	Relation	table;
	Relation	inbox;
	BlockNumber pages;			/* of the inbox, which is locked: it does not get shorter */
	StrmLayout *layout;
	StrmInboxReader *reader;
	TupleTableSlot *slot;
} StrmInboxMove;

void
strm_inbox_move_check(const StrmStream *stream)
{
	if (stream->contract->state != STRM_CONTRACT_ACTIVE)
		ereport(ERROR,
				errcode(STRM_ERR_STATE),
				errmsg("data contract \"%s\" is not active", strm_contract_ref(stream->contract)),
				errhint("Use strm.activate_data_contract()."));
	strm_master_key_require();
}

static void
strm_inbox_move_begin(StrmInboxMove *move, const StrmStream *stream, Relation table, Relation inbox)
{
	move->stream = stream;
	move->table = table;
	move->inbox = inbox;
	move->pages = RelationGetNumberOfBlocks(inbox);
	move->layout = strm_layout_make(stream, RelationGetDescr(table));
	move->reader = strm_inbox_reader(stream, inbox);
	move->slot = table_slot_create(inbox, NULL);
}

/* The row of a place, as long as the slot keeps it; NULL when it is not there any more. */
static HeapTuple
strm_inbox_move_fetch(StrmInboxMove *move, const StrmQueuedRow *place)
{
	ItemPointerData tid = place->tid;
	StrmInboxEntry entry;
	HeapTuple	tuple;

	/* TRUNCATE, or a VACUUM, may have made it shorter since the place was found */
	if (ItemPointerGetBlockNumber(&tid) >= move->pages ||
		!table_tuple_fetch_row_version(move->inbox, &tid, GetActiveSnapshot(), move->slot))
		return NULL;
	tuple = ExecFetchSlotHeapTuple(move->slot, false, NULL);
	strm_inbox_entry(move->reader, tuple, &entry);
	return entry.sequence == place->sequence && !entry.fault ? tuple : NULL;
}

/* Takes a row out of the inbox; false when somebody else did so first. */
static bool
strm_inbox_move_delete(StrmInboxMove *move, const StrmQueuedRow *place)
{
	ItemPointerData tid = place->tid;
	TM_FailureData failure;

	return table_tuple_delete(move->inbox, &tid, GetCurrentCommandId(true), GetActiveSnapshot(), InvalidSnapshot, true,
							  &failure, false) == TM_Ok;
}

/* Takes the row of a place, and opens it; false when it is not there any more. Adds to *bytes. */
static bool
strm_inbox_move_take(StrmInboxMove *move, const StrmQueuedRow *place, StrmEncryptRow *row, Size *bytes)
{
	int			natts = RelationGetDescr(move->table)->natts;
	HeapTuple	tuple = strm_inbox_move_fetch(move, place);

	if (tuple == NULL || !strm_inbox_move_delete(move, place))
		return false;
	row->values = palloc0(natts * sizeof(Datum));
	row->nulls = palloc(natts * sizeof(bool));
	memset(row->nulls, true, natts * sizeof(bool));
	strm_inbox_open(move->reader, tuple, move->layout, row->values, row->nulls, &row->timestamp);
	*bytes += tuple->t_len;
	return true;
}

void
strm_inbox_move(const StrmStream *stream, Relation table, Relation inbox, const StrmQueuedRow *places, int n,
				StrmInboxMoved *moved)
{
	StrmInboxMove move;
	StrmEncryptRow *rows = palloc(mul_size(n, sizeof(StrmEncryptRow)));
	StrmStreamInsert *insert;
	Size		bytes = 0;

	memset(moved, 0, sizeof(StrmInboxMoved));
	strm_inbox_move_begin(&move, stream, table, inbox);
	while (moved->moved < n && bytes < STRM_MOVE_BYTES && !moved->lost)
	{
		CHECK_FOR_INTERRUPTS();
		if (strm_inbox_move_take(&move, &places[moved->moved], &rows[moved->moved], &bytes))
			moved->moved++;
		else
			moved->lost = true;
	}
	ExecDropSingleTupleTableSlot(move.slot);
	moved->taken = moved->moved;
	if (moved->moved == 0)
		return;

	strm_encrypt_rows(stream, move.layout, rows, moved->moved);
	insert = strm_stream_insert_begin(table, move.layout);
	for (int i = 0; i < moved->moved; i++)
		strm_stream_insert_put(insert, rows[i].values, rows[i].nulls);
	strm_stream_insert_end(insert);
}

/* --- row by row --- */

bool
strm_inbox_move_is_fault(int sqlstate)
{
	static const char *const others[] = {"08", "0A", "25", "40", "53", "55", "57", "58", "72", "F0", "XX"};
	const char *text = unpack_sql_state(sqlstate);

	if (sqlstate == STRM_ERR_FORGED)
		return true;
	for (int i = 0; i < lengthof(others); i++)
	{
		if (strncmp(text, others[i], 2) == 0)
			return false;
	}
	return true;
}

/* Sets the row of a place aside. The method of the inbox's table refuses updates; its heap does not. */
static void
strm_inbox_move_set_aside(StrmInboxMove *move, const StrmQueuedRow *place, int sqlstate)
{
	HeapTuple	tuple = strm_inbox_move_fetch(move, place);
	ItemPointerData tid = place->tid;

	if (tuple != NULL)
		strm_inbox_set_fault(move->inbox, &tid, tuple, unpack_sql_state(sqlstate));
	ExecClearTuple(move->slot);
}

/* Moves one row in a subtransaction. NULL: it went well, or *moved says that it was not there; else the error. */
static ErrorData *
strm_inbox_move_one(StrmInboxMove *move, const StrmQueuedRow *place, StrmInboxMoved *moved)
{
	MemoryContext cxt = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData  *volatile error = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(cxt);
	PushActiveSnapshot(GetTransactionSnapshot());
	PG_TRY();
	{
		strm_inbox_move(move->stream, move->table, move->inbox, place, 1, moved);
		PopActiveSnapshot();
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(cxt);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(cxt);
	CurrentResourceOwner = owner;
	return error;
}

void
strm_inbox_move_each(const StrmStream *stream, Relation table, Relation inbox, const StrmQueuedRow *places, int n,
					 StrmInboxMoved *moved)
{
	MemoryContext cxt = CurrentMemoryContext;
	MemoryContext row_cxt = AllocSetContextCreate(cxt, "strm_privacy inbox row", ALLOCSET_DEFAULT_SIZES);
	StrmInboxMove move;

	memset(moved, 0, sizeof(StrmInboxMoved));
	strm_inbox_move_begin(&move, stream, table, inbox);
	for (; moved->taken < n; moved->taken++)
	{
		StrmInboxMoved one = {0};
		ErrorData  *error;

		MemoryContextReset(row_cxt);
		MemoryContextSwitchTo(row_cxt);
		error = strm_inbox_move_one(&move, &places[moved->taken], &one);
		MemoryContextSwitchTo(cxt);
		if (one.lost && error == NULL)
		{
			moved->lost = true;
			break;
		}
		if (error == NULL)
		{
			moved->moved++;
			continue;
		}
		if (!strm_inbox_move_is_fault(error->sqlerrcode))
			ReThrowError(error);
		if (moved->faults++ == 0)
		{
			StrmErrorText told;

			strm_errors_describe(error, &told);
			moved->sqlstate = error->sqlerrcode;
			moved->message = pstrdup(told.message);
		}
		strm_inbox_move_set_aside(&move, &places[moved->taken], error->sqlerrcode);
	}
	ExecDropSingleTupleTableSlot(move.slot);
	MemoryContextDelete(row_cxt);
}
