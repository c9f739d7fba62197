/*
 * inbox_target.c
 *	  What inserting into an inbox needs to know: its stream, its key, where its columns are; and making the stored row
 *	  of a producer's.
 *
 *	  One target per table and backend. It is made anew when the catalog's generation moved or the table changed (the
 *	  callback only marks), at the begin of a call of the access method, never within one: what reads values may process
 *	  invalidations.
 *
 *	  An inbox at which something is defined that could see rows takes none (strm_catalog_inbox_exposed): the guard
 *	  refuses to define it, and this is the second line.
 *
 *	  A row that arrives sealed was queued before (a data-only restore). As in a stream, it is stored unchanged if the
 *	  inserter owns the table and it is authentic; a restore loads tables before the extension's own, so one that is not
 *	  registered yet takes it unchecked: opening checks every row.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/pg_class.h"
#include "commands/sequence.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "catalog/cache.h"
#include "catalog/inbox.h"
#include "common/errors.h"
#include "contract/consent.h"
#include "ingest/inbox.h"
#include "ingest/inbox_columns.h"
#include "ingest/inbox_row.h"
#include "ingest/inbox_sealed.h"
#include "ingest/inbox_target.h"
#include "keys/inbox_key.h"
#include "strm_privacy.h"

/* Kept for the rows of a batch, and for one of them. */
#define INBOX_ROWS_SIZE (256 * 1024)
#define INBOX_ROW_SIZE (32 * 1024)

/*
 * A number of the table's sequence is taken once for each batch; the lower bits number its rows. So COPY does not pay
 * for a number with each row, and the order of insertion holds all the same.
 */
#define INBOX_SEQUENCE_BITS 10

StaticAssertDecl(STRM_INBOX_BATCH <= 1 << INBOX_SEQUENCE_BITS, "a batch has more rows than numbers");

struct StrmInboxTarget
{
	Oid			relid;			/* hash key */
	bool		valid;
	uint64		generation;
	MemoryContext cxt;			/* owns what follows */
	MemoryContext row_cxt;		/* child of cxt */
	StrmStream *stream;			/* NULL when it is not registered; as long as the generation stands */
	StrmInboxColumns *columns;
	uint64		epoch;			/* of the keys */
	StrmInboxKey *lane_key;
	int32		key_id;
	StrmRowSeal *seal;			/* of that key */
	Oid			sequence;
	int64		next;			/* sequence number of the next row */
	StringInfoData row;			/* the row at hand, to be sealed */
	TimestampTz started;		/* start of the transaction ... */
	TimestampTz timestamp;		/* ... in whole milliseconds */
	Datum	   *values;			/* of the row to be stored */
	bool	   *nulls;
	TupleTableSlot **slots;		/* STRM_INBOX_BATCH of them, or NULL */
};

static HTAB *targets = NULL;

/* The table changed: only marks. InvalidOid: any table. */
static void
strm_inbox_target_changed(Datum arg, Oid relid)
{
	StrmInboxTarget *target;

	if (targets == NULL)
		return;
	if (OidIsValid(relid))
	{
		target = hash_search(targets, &relid, HASH_FIND, NULL);
		if (target != NULL)
			target->valid = false;
	}
	else
	{
		HASH_SEQ_STATUS all;

		hash_seq_init(&all, targets);
		while ((target = hash_seq_search(&all)) != NULL)
			target->valid = false;
	}
}

void
strm_inbox_target_init(void)
{
	CacheRegisterRelcacheCallback(strm_inbox_target_changed, (Datum) 0);
}

/* Raises when the table is no inbox as strm.create_stream() makes it. */
static void
strm_inbox_target_check(const StrmInboxTarget *target, Relation rel)
{
	StrmFaults	faults;

	strm_faults_init(&faults);
	strm_catalog_inbox_exposed(rel, &faults);
	if (rel->rd_rel->relpersistence != RELPERSISTENCE_PERMANENT)
		strm_faults_add(&faults, "It is not logged.");
	strm_faults_raise(&faults, STRM_ERR_STATE,
					  psprintf("rows cannot be queued in table \"%s\"", RelationGetRelationName(rel)),
					  "What is defined at an inbox could see rows before they are sealed. Define it at the stream.");
}

pg_noreturn static void strm_inbox_target_unknown(Relation rel);

static void
strm_inbox_target_unknown(Relation rel)
{
	strm_ereport_private(errcode(STRM_ERR_STATE),
						 errmsg("table \"%s\" is not registered as an inbox", RelationGetRelationName(rel)),
						 errhint("Inboxes are made by strm.create_stream(). If it was restored from a dump, restore the "
								 "tables of schema strm, too."));
	pg_unreachable();
}

/* The sequence that the table owns, or none. */
static Oid
strm_inbox_target_sequence(Oid relid)
{
	List	   *sequences = getOwnedSequences(relid);

	return list_length(sequences) == 1 ? linitial_oid(sequences) : InvalidOid;
}

/* Reads what there is to know. The generation was taken before. */
static void
strm_inbox_target_resolve(StrmInboxTarget *target, Relation rel)
{
	StrmInbox  *inbox = strm_catalog_inbox_of(target->relid);
	int			natts = RelationGetDescr(rel)->natts;
	StrmInboxKeyRow *newest;

	/* a restore may have brought one without the other yet */
	List	   *keys = inbox == NULL ? NIL : strm_catalog_inbox_keys(&inbox->stream);

	target->stream = keys == NIL ? NULL : strm_catalog_stream(&inbox->stream);
	target->sequence = strm_inbox_target_sequence(target->relid);
	if (target->stream == NULL && strm_layout_find(RelationGetDescr(rel), STRM_INBOX_SEALED) < 0)
		strm_inbox_target_unknown(rel);
	strm_inbox_target_check(target, rel);
	target->columns = strm_inbox_columns_find(target->stream, RelationGetDescr(rel));
	initStringInfo(&target->row);
	target->values = palloc(natts * sizeof(Datum));
	target->nulls = palloc(natts * sizeof(bool));
	target->started = 0;
	target->slots = NULL;
	target->lane_key = NULL;
	target->seal = NULL;
	target->epoch = strm_inbox_key_epoch();
	if (target->stream == NULL)
		return;
	strm_inbox_sealed_forget(&inbox->stream);
	newest = llast(keys);
	target->key_id = newest->id;
	target->lane_key = strm_inbox_key_get(&inbox->stream, STRM_INBOX_LANE_KEY, inbox->key);
	target->seal = strm_inbox_key_seal(strm_inbox_key_get(&inbox->stream, newest->id, newest->key));
	target->epoch = strm_inbox_key_epoch();
}

StrmInboxTarget *
strm_inbox_target(Relation rel)
{
	Oid			relid = RelationGetRelid(rel);
	HASHCTL		ctl = {.keysize = sizeof(Oid), .entrysize = sizeof(StrmInboxTarget), .hcxt = CacheMemoryContext};
	StrmInboxTarget *target;
	MemoryContext old;
	bool		found;

	if (targets == NULL)
		targets = hash_create("strm_privacy inbox targets", 16, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	target = hash_search(targets, &relid, HASH_ENTER, &found);
	if (found && target->valid && target->generation == strm_catalog_generation() &&
		target->epoch == strm_inbox_key_epoch())
		return target;

	if (!found)
		target->cxt = target->row_cxt = NULL;
	if (target->cxt != NULL)
		MemoryContextDelete(target->cxt);
	target->cxt = NULL;
	target->cxt = AllocSetContextCreate(CacheMemoryContext, "strm_privacy inbox target", ALLOCSET_SMALL_SIZES);
	/* a batch of rows should not need more than the first block, which is kept */
	target->row_cxt = AllocSetContextCreate(target->cxt, "strm_privacy inbox rows",
											0, INBOX_ROWS_SIZE, ALLOCSET_DEFAULT_MAXSIZE);
	/* first, because resolving may take note of changes: then the next call resolves again */
	target->valid = true;
	target->generation = strm_catalog_generation();
	old = MemoryContextSwitchTo(target->cxt);
	PG_TRY();
	{
		strm_inbox_target_resolve(target, rel);
	}
	PG_CATCH();
	{
		target->valid = false;
		PG_RE_THROW();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(old);
	return target;
}

MemoryContext
strm_inbox_target_context(StrmInboxTarget *target)
{
	return target->row_cxt;
}

TupleTableSlot **
strm_inbox_target_slots(StrmInboxTarget *target, Relation rel)
{
	TupleTableSlot **slots;
	TupleDesc	desc;
	MemoryContext old;

	if (target->slots != NULL)
		return target->slots;
	old = MemoryContextSwitchTo(target->cxt);
	/* a copy of the descriptor is not counted: slots outlive the transaction */
	desc = CreateTupleDescCopy(RelationGetDescr(rel));
	slots = palloc(STRM_INBOX_BATCH * sizeof(TupleTableSlot *));
	for (int i = 0; i < STRM_INBOX_BATCH; i++)
		slots[i] = MakeSingleTupleTableSlot(desc, &TTSOpsHeapTuple);
	target->slots = slots;
	MemoryContextSwitchTo(old);
	return slots;
}

/* Only the inbox's own columns may be set in a row that is sealed. */
static void
strm_inbox_target_check_sealed(StrmInboxTarget *target, Relation rel, const Datum *values, const bool *nulls)
{
	const StrmInboxColumns *columns = target->columns;
	bytea	   *sealed = DatumGetByteaPP(values[columns->sealed]);
	uint8	   *row;
	Size		size;
	int32		key_id;
	uint8		ad[STRM_INBOX_AD_SIZE];
	bool		authentic = !nulls[columns->queued_at] && !nulls[columns->sequence] && !nulls[columns->lane];

	if (!object_ownercheck_relation(RelationGetRelid(rel), GetUserId()))
		strm_ereport_private(errcode(STRM_ERR_PRIVILEGE),
							 errmsg("only the owner of an inbox may insert rows that are sealed already"),
							 errhint("Leave the column \"%s\" out.", STRM_INBOX_SEALED));
	for (int i = 0; i < RelationGetDescr(rel)->natts; i++)
	{
		if (!nulls[i] && !strm_inbox_columns_own(columns, i))
			strm_ereport_private(errcode(STRM_ERR_ARGUMENT),
								 errmsg("a row that is sealed already has no other values"),
								 errhint("Leave the column \"%s\" out to queue a new row.", STRM_INBOX_SEALED));
	}
	if (authentic && target->stream != NULL)
	{
		/* to the end of the transaction no key is forgotten: the row may be of one that is about to be */
		LockRelationOid(strm_catalog_table(STRM_TABLE_INBOX_KEY), RowShareLock);
		strm_inbox_columns_ad(columns, values, ad);
		key_id = strm_inbox_sealed_id(values[columns->sealed]);
		authentic = strm_catalog_inbox_key(&target->stream->id, key_id) != NULL &&
			strm_inbox_sealed_open(&target->stream->id, ad, sealed, &row, &size);
	}
	if (!authentic)
		strm_ereport_private(errcode(STRM_ERR_FORGED),
							 errmsg("a queued row is not authentic"),
							 errhint("Leave the column \"%s\" out to queue a new row.", STRM_INBOX_SEALED));
}

/* In whole milliseconds, rounded as a stream's timestamptz(3) is. */
static TimestampTz
strm_inbox_target_timestamp(StrmInboxTarget *target)
{
	TimestampTz started = GetCurrentTransactionStartTimestamp();

	if (target->started != started)
	{
		target->started = started;
		target->timestamp = (started + 500) / 1000 * 1000;
	}
	return target->timestamp;
}

/* Checks and seals a producer's row: into target's values and nulls. */
static void
strm_inbox_target_seal(StrmInboxTarget *target, int natts, const Datum *values, const bool *nulls)
{
	const StrmContract *contract = target->stream->contract;
	const StrmInboxColumns *columns = target->columns;
	StrmPlain  *plains = strm_check_row(contract, columns->fields, values, nulls);
	const StrmPlain *key_value = &plains[contract->key_field];
	ArrayType  *consent_levels = strm_consent_normalize(
		nulls[columns->consent_levels] ? NULL : DatumGetArrayTypeP(values[columns->consent_levels]));
	uint64		hash = strm_inbox_key_hash(target->lane_key, key_value->text[0], key_value->size[0]);
	StringInfo	row = &target->row;
	uint8		ad[STRM_INBOX_AD_SIZE];
	uint8	   *sealed;
	int			body;

	memset(target->nulls, true, natts * sizeof(bool));
	target->values[columns->queued_at] = TimestampTzGetDatum(strm_inbox_target_timestamp(target));
	target->values[columns->sequence] = Int64GetDatum(target->next++);
	target->values[columns->lane] = Int16GetDatum((int16) (hash % STRM_INBOX_LANES));
	strm_inbox_columns_ad(columns, target->values, ad);

	resetStringInfo(row);
	row->len = VARHDRSZ + STRM_INBOX_SEALED_HEADER;
	strm_inbox_row_write(contract, columns->fields, values, nulls, plains, consent_levels, row);
	enlargeStringInfo(row, STRM_ROW_SEAL_TAG);
	body = row->len - VARHDRSZ - STRM_INBOX_SEALED_HEADER;
	sealed = (uint8 *) row->data + VARHDRSZ;
	strm_inbox_sealed_put_id(sealed, target->key_id);
	if (strm_row_seal(target->seal, ad, sizeof(ad), sealed + STRM_INBOX_SEALED_ID, body) != STRM_CRYPTO_OK)
		ereport(ERROR, errcode(STRM_ERR_INTERNAL), errmsg("could not seal a row"));
	SET_VARSIZE(row->data, row->len + STRM_ROW_SEAL_TAG);
	target->values[columns->sealed] = PointerGetDatum(row->data);
	target->nulls[columns->queued_at] = target->nulls[columns->sequence] = target->nulls[columns->lane] =
		target->nulls[columns->sealed] = false;
}

void
strm_inbox_target_begin(StrmInboxTarget *target)
{
	/* without a stream there are no rows to be numbered */
	if (target->stream == NULL)
		return;
	if (!OidIsValid(target->sequence))
		ereport(ERROR,
				errcode(STRM_ERR_STATE),
				errmsg("inbox \"%s\" has lost its sequence", get_rel_name(target->relid)),
				errhint("Create a sequence that is owned by its column \"%s\".", STRM_INBOX_SEQUENCE));
	target->next = nextval_internal(target->sequence, false) << INBOX_SEQUENCE_BITS;
}

void
strm_inbox_target_end(StrmInboxTarget *target)
{
	MemoryContextReset(target->row_cxt);
	if (target->row.maxlen > INBOX_ROW_SIZE)
	{
		pfree(target->row.data);
		target->row.data = MemoryContextAlloc(target->cxt, INBOX_ROW_SIZE);
		target->row.maxlen = INBOX_ROW_SIZE;
		resetStringInfo(&target->row);
	}
}

HeapTuple
strm_inbox_target_form(StrmInboxTarget *target, Relation rel, TupleTableSlot *slot)
{
	TupleDesc	desc = RelationGetDescr(rel);
	HeapTuple	tuple;

	slot_getallattrs(slot);
	if (!slot->tts_isnull[target->columns->sealed])
	{
		strm_inbox_target_check_sealed(target, rel, slot->tts_values, slot->tts_isnull);
		memcpy(target->values, slot->tts_values, desc->natts * sizeof(Datum));
		memcpy(target->nulls, slot->tts_isnull, desc->natts * sizeof(bool));
	}
	else
	{
		if (target->stream == NULL)
			strm_inbox_target_unknown(rel);
		if (target->stream->contract->state != STRM_CONTRACT_ACTIVE)
			ereport(ERROR,
					errcode(STRM_ERR_STATE),
					errmsg("data contract \"%s\" is not active", strm_contract_ref(target->stream->contract)),
					errhint("Use strm.activate_data_contract()."));
		strm_inbox_target_seal(target, desc->natts, slot->tts_values, slot->tts_isnull);
	}
	tuple = heap_form_tuple(desc, target->values, target->nulls);
	tuple->t_tableOid = RelationGetRelid(rel);
	return tuple;
}
