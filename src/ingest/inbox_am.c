/*
 * inbox_am.c
 *	  The table access method of inboxes: the heap's, whose rows are sealed on their way in.
 *
 *	  A row is checked and sealed between the executor and heap_insert() or heap_multi_insert(): no trigger, so COPY
 *	  inserts pages at a time. Whatever else would put a value into the table, or show one to an index, is refused here,
 *	  for everybody: nothing but this file stands between a producer's row and the heap. What it stores is written into
 *	  the caller's slot, too, so that RETURNING and what the executor does afterwards see that.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/tableam.h"
#include "catalog/index.h"
#include "catalog/pg_am.h"
#include "executor/tuptable.h"
#include "nodes/execnodes.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "common/errors.h"
#include "ingest/inbox_am.h"
#include "ingest/inbox_state.h"
#include "ingest/inbox_target.h"
#include "strm_privacy.h"

static TableAmRoutine inbox_am;

/* Raises 0A000. */
pg_noreturn static void strm_inbox_am_refuse(Relation rel, const char *what);

static void
strm_inbox_am_refuse(Relation rel, const char *what)
{
	ereport(ERROR,
			errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			errmsg("%s is not possible in inbox \"%s\"", what, RelationGetRelationName(rel)),
			errhint("Rows of an inbox are sealed, and moved into the stream; use the stream."));
}

/* Makes slot show what is stored, in memory of its own. */
static void
strm_inbox_am_show(TupleTableSlot *slot, HeapTuple tuple)
{
	ExecForceStoreHeapTuple(tuple, slot, false);
	ExecMaterializeSlot(slot);
	slot->tts_tableOid = tuple->t_tableOid;
	slot->tts_tid = tuple->t_self;
}

/* INSERT of one row. */
static void
strm_inbox_am_insert(Relation rel, TupleTableSlot *slot, CommandId cid, int options, BulkInsertState bistate)
{
	StrmInboxTarget *target;
	ErrorContextCallback *callers = error_context_stack;
	ErrorContextCallback frame;
	MemoryContext rows;
	MemoryContext old;
	HeapTuple	tuple;

	strm_errors_cut_context(&frame);
	target = strm_inbox_target(rel);
	strm_inbox_state_admit(RelationGetRelid(rel));
	rows = strm_inbox_target_context(target);
	MemoryContextReset(rows);
	old = MemoryContextSwitchTo(rows);
	strm_inbox_target_begin(target);
	tuple = strm_inbox_target_form(target, rel, slot);
	error_context_stack = callers;

	heap_insert(rel, tuple, cid, options, bistate);
	strm_inbox_am_show(slot, tuple);
	MemoryContextSwitchTo(old);
	strm_inbox_target_end(target);
	strm_inbox_state_queued(RelationGetRelid(rel), 1);
}

/* The sealed tuples of n slots, in target's slots. The target's context owns them, and no slot makes a copy. */
static void
strm_inbox_am_seal(StrmInboxTarget *target, Relation rel, TupleTableSlot **slots, TupleTableSlot **sealed, int n)
{
	MemoryContext rows = strm_inbox_target_context(target);
	MemoryContext old;

	MemoryContextReset(rows);
	old = MemoryContextSwitchTo(rows);
	strm_inbox_target_begin(target);
	for (int i = 0; i < n; i++)
		ExecStoreHeapTuple(strm_inbox_target_form(target, rel, slots[i]), sealed[i], true);
	MemoryContextSwitchTo(old);
}

/* COPY, and what else brings many rows at once: their slots keep the producer's values, but for the tid. */
static void
strm_inbox_am_multi_insert(Relation rel, TupleTableSlot **slots, int n, CommandId cid, int options,
						   BulkInsertState bistate)
{
	StrmInboxTarget *target;
	ErrorContextCallback *callers = error_context_stack;
	ErrorContextCallback *cut;
	ErrorContextCallback frame;
	TupleTableSlot **sealed;

	strm_errors_cut_context(&frame);
	cut = error_context_stack;
	target = strm_inbox_target(rel);
	strm_inbox_state_admit(RelationGetRelid(rel));
	sealed = strm_inbox_target_slots(target, rel);
	for (int done = 0; done < n; done += STRM_INBOX_BATCH)
	{
		int			batch = Min(n - done, STRM_INBOX_BATCH);

		error_context_stack = cut;
		strm_inbox_am_seal(target, rel, slots + done, sealed, batch);
		error_context_stack = callers;
		heap_multi_insert(rel, sealed, batch, cid, options, bistate);
		for (int i = 0; i < batch; i++)
		{
			slots[done + i]->tts_tid = sealed[i]->tts_tid;
			ExecClearTuple(sealed[i]);
		}
	}
	strm_inbox_target_end(target);
	strm_inbox_state_queued(RelationGetRelid(rel), n);
}

static void
strm_inbox_am_insert_speculative(Relation rel, TupleTableSlot *slot, CommandId cid, int options,
								 BulkInsertState bistate, uint32 token)
{
	strm_inbox_am_refuse(rel, "INSERT with a conflict to look for");
}

static void
strm_inbox_am_complete_speculative(Relation rel, TupleTableSlot *slot, uint32 token, bool succeeded)
{
	strm_inbox_am_refuse(rel, "INSERT with a conflict to look for");
}

static TM_Result
strm_inbox_am_update(Relation rel, ItemPointer tid, TupleTableSlot *slot, CommandId cid, Snapshot snapshot,
					 Snapshot crosscheck, bool wait, TM_FailureData *failure, LockTupleMode *lockmode,
					 StrmUpdateIndexes *update_indexes)
{
	strm_inbox_am_refuse(rel, "UPDATE");
}

static double
strm_inbox_am_index_build(Relation rel, Relation index, IndexInfo *info, bool allow_sync, bool anyvisible,
						  bool progress, BlockNumber start, BlockNumber n, IndexBuildCallback callback, void *state,
						  TableScanDesc scan)
{
	strm_inbox_am_refuse(rel, "an index");
}

static void
strm_inbox_am_index_validate(Relation rel, Relation index, IndexInfo *info, Snapshot snapshot,
							 ValidateIndexState *state)
{
	strm_inbox_am_refuse(rel, "an index");
}

/* What does not fit a page is sealed by then: an ordinary heap, not another inbox. */
static Oid
strm_inbox_am_toast(Relation rel)
{
	return HEAP_TABLE_AM_OID;
}

const TableAmRoutine *
strm_inbox_am(void)
{
	if (inbox_am.type == T_Invalid)
	{
		inbox_am = *GetHeapamTableAmRoutine();
		inbox_am.tuple_insert = strm_inbox_am_insert;
		inbox_am.tuple_insert_speculative = strm_inbox_am_insert_speculative;
		inbox_am.tuple_complete_speculative = strm_inbox_am_complete_speculative;
		inbox_am.multi_insert = strm_inbox_am_multi_insert;
		inbox_am.tuple_update = strm_inbox_am_update;
		inbox_am.index_build_range_scan = strm_inbox_am_index_build;
		inbox_am.index_validate_scan = strm_inbox_am_index_validate;
		inbox_am.relation_toast_am = strm_inbox_am_toast;
	}
	return &inbox_am;
}
