/*
 * stream_insert.c
 *	  Inserting rows that were encrypted and sealed here into a stream, many at once, as COPY does: a buffer of rows for
 *	  the table, or for each partition, which goes into it in one step; constraints, indexes and AFTER triggers as with
 *	  any INSERT.
 *
 *	  BEFORE ROW triggers do not fire. A stream has only its own, which encrypts: that was done.
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_class.h"
#include "commands/trigger.h"
#include "executor/execPartition.h"
#include "executor/executor.h"
#include "executor/nodeModifyTable.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "parser/parse_relation.h"
#include "rewrite/rewriteHandler.h"
#include "utils/lsyscache.h"
#include "utils/rls.h"

#include "common/errors.h"
#include "ingest/stored.h"
#include "ingest/stream_insert.h"
#include "strm_privacy.h"

#define STRM_INSERT_ROWS 1000	/* of one buffer */

/* Rows that wait for one table. */
typedef struct StrmInsertBuffer
{
	ResultRelInfo *target;
	BulkInsertState bulk;
	TupleTableSlot *slots[STRM_INSERT_ROWS];	/* made when first needed */
	int			nslots;
	int			nused;
} StrmInsertBuffer;

struct StrmStreamInsert
{
	EState	   *estate;
	ResultRelInfo *root;
	ModifyTableState *state;
	PartitionTupleRouting *routing; /* NULL: not partitioned */
	TupleTableSlot *row;		/* as the stream has it, to be routed */
	TransitionCaptureState *transition;
	CommandId	command;
	List	   *buffers;		/* StrmInsertBuffer */
	/* columns of somebody else */
	int			ndefaults;
	int		   *default_columns;
	ExprState **defaults;		/* NULL: null */
};

/* The executor's view of the table. */
static void
strm_stream_insert_open(StrmStreamInsert *insert, Relation stream)
{
	RangeTblEntry *entry = makeNode(RangeTblEntry);

	entry->rtekind = RTE_RELATION;
	entry->relid = RelationGetRelid(stream);
	entry->relkind = stream->rd_rel->relkind;
	entry->rellockmode = RowExclusiveLock;
	insert->estate = CreateExecutorState();
	strm_init_range_table(insert->estate, entry);
	insert->root = makeNode(ResultRelInfo);
	ExecInitResultRelation(insert->estate, insert->root, 1);
	ExecOpenIndices(insert->root, false);

	insert->state = makeNode(ModifyTableState);
	insert->state->ps.state = insert->estate;
	insert->state->operation = CMD_INSERT;
	insert->state->mt_nrels = 1;
	insert->state->resultRelInfo = insert->root;
	insert->state->rootResultRelInfo = insert->root;
	if (stream->rd_rel->relkind == RELKIND_PARTITIONED_TABLE)
		insert->routing = ExecSetupPartitionTupleRouting(insert->estate, stream);
	insert->row = MakeSingleTupleTableSlot(RelationGetDescr(stream), &TTSOpsVirtual);
}

/* Is the column one of those that the row comes with? */
static bool
strm_stream_insert_is_given(const StrmLayout *layout, int nfields, int at)
{
	if (at == layout->contract_version || at == layout->nonce || at == layout->timestamp || at == layout->key_link ||
		at == layout->consent_levels || at == layout->seal)
		return true;
	for (int i = 0; i < nfields; i++)
	{
		if (layout->fields[i] == at)
			return true;
	}
	return false;
}

/* Columns that were added to the table get their defaults. */
static void
strm_stream_insert_find_defaults(StrmStreamInsert *insert, Relation stream, const StrmLayout *layout)
{
	TupleDesc	desc = RelationGetDescr(stream);

	insert->default_columns = palloc(desc->natts * sizeof(int));
	insert->defaults = palloc(desc->natts * sizeof(ExprState *));
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);
		Expr	   *expr;

		if (strm_stream_insert_is_given(layout, layout->nfields, i))
			continue;
		expr = att->attisdropped || att->attgenerated ? NULL : (Expr *) build_column_default(stream, i + 1);
		insert->default_columns[insert->ndefaults] = i;
		insert->defaults[insert->ndefaults++] = expr == NULL ? NULL : ExecPrepareExpr(expr, insert->estate);
	}
}

StrmStreamInsert *
strm_stream_insert_begin(Relation stream, const StrmLayout *layout)
{
	StrmStreamInsert *insert = palloc0(sizeof(StrmStreamInsert));

	if (check_enable_rls(RelationGetRelid(stream), InvalidOid, true) == RLS_ENABLED)
		ereport(ERROR,
				errcode(STRM_ERR_STATE),
				errmsg("row security is forced on stream \"%s\"", RelationGetRelationName(stream)),
				errhint("Use ALTER TABLE ... NO FORCE ROW LEVEL SECURITY."));
	strm_stream_insert_open(insert, stream);
	strm_stream_insert_find_defaults(insert, stream, layout);
	AfterTriggerBeginQuery();
	insert->transition = MakeTransitionCaptureState(stream->trigdesc, RelationGetRelid(stream), CMD_INSERT);
	insert->state->mt_transition_capture = insert->transition;
	ExecBSInsertTriggers(insert->estate, insert->root);
	insert->command = GetCurrentCommandId(true);
	strm_stored_note();
	return insert;
}

/* One row is in its table: indexes and triggers. */
static void
strm_stream_insert_stored(StrmStreamInsert *insert, ResultRelInfo *target, TupleTableSlot *slot)
{
	List	   *recheck = NIL;

	slot->tts_tableOid = RelationGetRelid(target->ri_RelationDesc);
	if (target->ri_NumIndices > 0)
		recheck = strm_insert_index_tuples(target, slot, insert->estate);
	if (recheck != NIL || target->ri_TrigDesc != NULL || insert->transition != NULL)
		ExecARInsertTriggers(insert->estate, target, slot, recheck, insert->transition);
	list_free(recheck);
}

static void
strm_stream_insert_flush(StrmStreamInsert *insert, StrmInsertBuffer *buffer)
{
	MemoryContext old;

	if (buffer->nused == 0)
		return;
	CHECK_FOR_INTERRUPTS();
	old = MemoryContextSwitchTo(GetPerTupleMemoryContext(insert->estate));
	table_multi_insert(buffer->target->ri_RelationDesc, buffer->slots, buffer->nused, insert->command, 0, buffer->bulk);
	MemoryContextSwitchTo(old);
	for (int i = 0; i < buffer->nused; i++)
	{
		strm_stream_insert_stored(insert, buffer->target, buffer->slots[i]);
		ExecClearTuple(buffer->slots[i]);
		ResetPerTupleExprContext(insert->estate);
	}
	buffer->nused = 0;
}

static StrmInsertBuffer *
strm_stream_insert_buffer(StrmStreamInsert *insert, ResultRelInfo *target)
{
	StrmInsertBuffer *buffer;
	ListCell   *lc;

	foreach(lc, insert->buffers)
	{
		buffer = lfirst(lc);
		if (buffer->target == target)
			return buffer;
	}
	if (target->ri_FdwRoutine != NULL)
		ereport(ERROR,
				errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				errmsg("cannot move rows into foreign table \"%s\"",
					   RelationGetRelationName(target->ri_RelationDesc)));
	buffer = palloc0(sizeof(StrmInsertBuffer));
	buffer->target = target;
	buffer->bulk = GetBulkInsertState();
	insert->buffers = lappend(insert->buffers, buffer);
	return buffer;
}

/* The next free slot of a buffer. */
static TupleTableSlot *
strm_stream_insert_slot(StrmStreamInsert *insert, StrmInsertBuffer *buffer)
{
	if (buffer->nused == STRM_INSERT_ROWS)
		strm_stream_insert_flush(insert, buffer);
	if (buffer->nused == buffer->nslots)
		buffer->slots[buffer->nslots++] = table_slot_create(buffer->target->ri_RelationDesc, NULL);
	return buffer->slots[buffer->nused];
}

/* Makes slot hold the row as the table that it goes to has its columns. */
static TupleTableSlot *
strm_stream_insert_convert(StrmStreamInsert *insert, ResultRelInfo *target, TupleTableSlot *slot)
{
	TupleConversionMap *map = insert->routing == NULL ? NULL : strm_root_to_child_map(target, insert->estate);
	int			natts = insert->row->tts_tupleDescriptor->natts;

	ExecClearTuple(slot);
	if (map != NULL)
		return execute_attr_map_slot(map->attrMap, insert->row, slot);
	memcpy(slot->tts_values, insert->row->tts_values, natts * sizeof(Datum));
	memcpy(slot->tts_isnull, insert->row->tts_isnull, natts * sizeof(bool));
	return ExecStoreVirtualTuple(slot);
}

static void
strm_stream_insert_fill(StrmStreamInsert *insert, Datum *values, bool *nulls)
{
	ExprContext *context = GetPerTupleExprContext(insert->estate);

	for (int i = 0; i < insert->ndefaults; i++)
	{
		int			at = insert->default_columns[i];

		nulls[at] = true;
		if (insert->defaults[i] != NULL)
			values[at] = ExecEvalExpr(insert->defaults[i], context, &nulls[at]);
	}
}

void
strm_stream_insert_put(StrmStreamInsert *insert, Datum *values, bool *nulls)
{
	TupleTableSlot *row = insert->row;
	ResultRelInfo *target = insert->root;
	Relation	relation;
	StrmInsertBuffer *buffer;
	TupleTableSlot *slot;

	strm_stream_insert_fill(insert, values, nulls);
	ExecClearTuple(row);
	memcpy(row->tts_values, values, row->tts_tupleDescriptor->natts * sizeof(Datum));
	memcpy(row->tts_isnull, nulls, row->tts_tupleDescriptor->natts * sizeof(bool));
	ExecStoreVirtualTuple(row);
	if (insert->routing != NULL)
		target = ExecFindPartition(insert->state, insert->root, insert->routing, row, insert->estate);
	relation = target->ri_RelationDesc;
	buffer = strm_stream_insert_buffer(insert, target);
	slot = strm_stream_insert_convert(insert, target, strm_stream_insert_slot(insert, buffer));
	slot->tts_tableOid = RelationGetRelid(relation);

	if (relation->rd_att->constr != NULL && relation->rd_att->constr->has_generated_stored)
		ExecComputeStoredGenerated(target, insert->estate, slot, CMD_INSERT);
	if (relation->rd_att->constr != NULL)
		ExecConstraints(target, slot, insert->estate);
	if (insert->routing == NULL && relation->rd_rel->relispartition)
		ExecPartitionCheck(target, slot, insert->estate, true);
	/* what defaults and generated columns made must outlive the row's context */
	if (insert->ndefaults > 0)
		ExecMaterializeSlot(slot);
	ResetPerTupleExprContext(insert->estate);
	buffer->nused++;
}

/* Gives back what a buffer holds. */
static void
strm_stream_insert_release(StrmInsertBuffer *buffer)
{
	FreeBulkInsertState(buffer->bulk);
	for (int i = 0; i < buffer->nslots; i++)
		ExecDropSingleTupleTableSlot(buffer->slots[i]);
}

void
strm_stream_insert_end(StrmStreamInsert *insert)
{
	ListCell   *lc;

	foreach(lc, insert->buffers)
		strm_stream_insert_flush(insert, lfirst(lc));
	ExecASInsertTriggers(insert->estate, insert->root, insert->transition);
	AfterTriggerEndQuery(insert->estate);

	foreach(lc, insert->buffers)
		strm_stream_insert_release(lfirst(lc));
	ExecDropSingleTupleTableSlot(insert->row);
	if (insert->routing != NULL)
		ExecCleanupTupleRouting(insert->state, insert->routing);
	ExecResetTupleTable(insert->estate->es_tupleTable, false);
	ExecCloseResultRelations(insert->estate);
	ExecCloseRangeTableRelations(insert->estate);
	FreeExecutorState(insert->estate);
	CommandCounterIncrement();
}
