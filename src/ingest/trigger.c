/*
 * trigger.c
 *	  The triggers of a stream: encrypt each inserted row, refuse updates.
 *
 *	  The insert trigger's argument is the stream's id. It works on the stream's table and its partitions only: as the
 *	  trigger of any other table it would make authentic rows for whoever owns that table.
 *
 *	  A row that arrives with a seal was written by a server before (a data-only restore, a copy). It is stored
 *	  unchanged, whatever the state of its contract by now, if the inserter owns the stream and the seal is authentic,
 *	  or can no longer be checked because the key was destroyed. A data-only restore loads streams before the
 *	  extension's own tables, so a stream that is not registered yet takes sealed rows from its owner unchecked: reading
 *	  checks every row anyway. A batch job, whose rows were sealed a moment ago, need not own the stream
 *	  (transform/sealed_insert.h).
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/partition.h"
#include "catalog/pg_class.h"
#include "commands/trigger.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/fmgrprotos.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "catalog/cache.h"
#include "common/errors.h"
#include "ingest/stored.h"
#include "keys/master_key.h"
#include "strm_privacy.h"
#include "transform/encrypt.h"
#include "transform/sealed_insert.h"

/* What one statement's trigger calls share; in fn_mcxt. */
typedef struct StrmTriggerState
{
	uint64		generation;
	Oid			relid;
	pg_uuid_t	id;
	StrmStream *stream;			/* NULL when it is not registered */
	StrmLayout *layout;
	TimestampTz timestamp;		/* transaction start, in whole milliseconds */
} StrmTriggerState;

PG_FUNCTION_INFO_V1(strm_sql_encrypt_row);
PG_FUNCTION_INFO_V1(strm_sql_refuse_update);

static TriggerData *
strm_trigger_data(FunctionCallInfo fcinfo, const char *name)
{
	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				errmsg("strm.%s() is a trigger function", name));
	return (TriggerData *) fcinfo->context;
}

/* Raises unless relation is the stream's table or one of its partitions. */
static void
strm_trigger_check_relation(const StrmStream *stream, Relation relation)
{
	Oid			relid = RelationGetRelid(relation);

	if (relid == stream->relid ||
		(relation->rd_rel->relispartition && list_member_oid(get_partition_ancestors(relid), stream->relid)))
		return;
	ereport(ERROR,
			errcode(STRM_ERR_STATE),
			errmsg("table \"%s\" is not the stream that its trigger names", RelationGetRelationName(relation)),
			errhint("Create streams with strm.create_stream()."));
}

/* Finds stream and layout for this statement, or for the rest of it after something changed. */
static void
strm_trigger_resolve(StrmTriggerState *state, TriggerData *data)
{
	Relation	relation = data->tg_relation;

	state->relid = RelationGetRelid(relation);
	/* rounded as the column's type timestamptz(3) rounds its default now() */
	state->timestamp = (GetCurrentTransactionStartTimestamp() + 500) / 1000 * 1000;
	if (data->tg_trigger->tgnargs != 1)
		ereport(ERROR, errcode(STRM_ERR_ARGUMENT), errmsg("strm.encrypt_row() takes the id of a stream"));
	state->id = *DatumGetUUIDP(DirectFunctionCall1(uuid_in, CStringGetDatum(data->tg_trigger->tgargs[0])));
	state->stream = strm_catalog_stream(&state->id);
	if (state->stream == NULL)
		return;
	strm_trigger_check_relation(state->stream, relation);
	state->layout = strm_layout_make(state->stream, RelationGetDescr(relation));
}

static StrmTriggerState *
strm_trigger_state(FunctionCallInfo fcinfo, TriggerData *data)
{
	StrmTriggerState *state = fcinfo->flinfo->fn_extra;
	MemoryContext old;

	if (state != NULL && state->generation == strm_catalog_generation() &&
		state->relid == RelationGetRelid(data->tg_relation))
		return state;

	old = MemoryContextSwitchTo(fcinfo->flinfo->fn_mcxt);
	state = palloc0(sizeof(StrmTriggerState));
	/* first, because resolving may take note of changes: then the next row resolves again */
	state->generation = strm_catalog_generation();
	strm_trigger_resolve(state, data);
	MemoryContextSwitchTo(old);
	fcinfo->flinfo->fn_extra = state;
	return state;
}

/* May the current user insert rows that are sealed already? */
static void
strm_trigger_check_owner(Relation relation)
{
	if (!object_ownercheck_relation(RelationGetRelid(relation), GetUserId()))
		strm_ereport_private(errcode(STRM_ERR_PRIVILEGE),
							 errmsg("only the owner of a stream may insert rows that are sealed already"),
							 errhint("Leave the column \"%s\" out.", STRM_COLUMN_SEAL));
}

/* Lets a sealed row pass unchanged, or raises. */
static void
strm_trigger_check_sealed(StrmTriggerState *state, Relation relation, const Datum *values, const bool *nulls)
{
	StrmStream *stream = state->stream;
	StrmLayout *layout = state->layout;
	StrmSealedRow row;
	StrmDataKey *key;
	bool		authentic = false;

	if (stream == NULL || !strm_sealed_insert_runs(&stream->id))
		strm_trigger_check_owner(relation);
	if (stream == NULL)
		return;
	if (!nulls[layout->contract_version] && !nulls[layout->nonce] && !nulls[layout->timestamp] &&
		!nulls[layout->key_link] && !nulls[layout->consent_levels])
	{
		key = strm_data_key_by_link(DatumGetUUIDP(values[layout->key_link]));
		if (key->destroyed)
			return;
		strm_sealed_row_read(stream, layout, values, nulls, &row);
		authentic = memcmp(key->owner.data, stream->id.data, UUID_LEN) == 0 && strm_seal_verify(stream, key, &row);
	}
	if (!authentic)
		strm_ereport_private(errcode(STRM_ERR_FORGED),
							 errmsg("the seal of a row is not authentic"),
							 errhint("Leave the column \"%s\" out to insert a new row.", STRM_COLUMN_SEAL));
}

/* A partition was chosen by the timestamp before the trigger runs, so a producer's own cannot just be overwritten. */
static void
strm_trigger_check_timestamp(const StrmTriggerState *state, Relation relation, const Datum *values, const bool *nulls)
{
	int			at = state->layout->timestamp;

	if (!relation->rd_rel->relispartition ||
		(!nulls[at] && DatumGetTimestampTz(values[at]) == state->timestamp))
		return;
	ereport(ERROR,
			errcode(STRM_ERR_ARGUMENT),
			errmsg("column \"%s\" of a partitioned stream is set by the server", STRM_COLUMN_TIMESTAMP),
			errhint("Leave the column out."));
}

/* Position of the seal, also when the stream is not registered. */
static bool
strm_trigger_is_sealed(const StrmTriggerState *state, TupleDesc desc, const bool *nulls)
{
	int			at = state->stream != NULL ? state->layout->seal : strm_layout_find(desc, STRM_COLUMN_SEAL);

	return at >= 0 && !nulls[at];
}

static HeapTuple
strm_trigger_encrypt(StrmTriggerState *state, TriggerData *data)
{
	Relation	relation = data->tg_relation;
	TupleDesc	desc = RelationGetDescr(relation);
	Datum	   *values = palloc(desc->natts * sizeof(Datum));
	bool	   *nulls = palloc(desc->natts * sizeof(bool));

	heap_deform_tuple(data->tg_trigtuple, desc, values, nulls);
	if (strm_trigger_is_sealed(state, desc, nulls))
	{
		strm_trigger_check_sealed(state, relation, values, nulls);
		return data->tg_trigtuple;
	}
	if (state->stream == NULL)
		ereport(ERROR,
				errcode(STRM_ERR_STATE),
				errmsg("table \"%s\" is not registered as a stream", RelationGetRelationName(relation)),
				errhint("If it was restored from a dump, restore the tables of schema strm, too."));
	if (state->stream->contract->state != STRM_CONTRACT_ACTIVE)
		ereport(ERROR,
				errcode(STRM_ERR_STATE),
				errmsg("data contract \"%s\" is not active", strm_contract_ref(state->stream->contract)),
				errhint("Use strm.activate_data_contract()."));
	strm_master_key_require();
	strm_trigger_check_timestamp(state, relation, values, nulls);
	strm_encrypt_row(state->stream, state->layout, state->timestamp, values, nulls);
	return heap_form_tuple(desc, values, nulls);
}

/*
 * strm.encrypt_row(stream id): BEFORE INSERT FOR EACH ROW. Context callbacks of the callers (COPY's quotes the input
 * line) are set aside while it runs, so that no error in here carries them.
 */
Datum
strm_sql_encrypt_row(PG_FUNCTION_ARGS)
{
	TriggerData *data = strm_trigger_data(fcinfo, "encrypt_row");
	ErrorContextCallback *callers = error_context_stack;
	ErrorContextCallback frame;
	HeapTuple	result;

	if (!TRIGGER_FIRED_BEFORE(data->tg_event) || !TRIGGER_FIRED_FOR_ROW(data->tg_event) ||
		!TRIGGER_FIRED_BY_INSERT(data->tg_event))
		ereport(ERROR,
				errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				errmsg("strm.encrypt_row() must be called BEFORE INSERT FOR EACH ROW"));

	strm_errors_cut_context(&frame);
	result = strm_trigger_encrypt(strm_trigger_state(fcinfo, data), data);
	error_context_stack = callers;
	strm_stored_note();
	return PointerGetDatum(result);
}

/* strm.refuse_update(): BEFORE UPDATE. */
Datum
strm_sql_refuse_update(PG_FUNCTION_ARGS)
{
	TriggerData *data = strm_trigger_data(fcinfo, "refuse_update");

	strm_ereport_private(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						 errmsg("rows of stream \"%s\" cannot be updated", RelationGetRelationName(data->tg_relation)),
						 errdetail("Rows of a stream are immutable."),
						 errhint("Insert a new row, or delete the row."));
	PG_RETURN_NULL();
}
