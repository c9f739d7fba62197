/*
 * derived_stream.c
 *	  Rows of strm.derived_stream as structs, cached per session.
 *
 *	  One memory context holds all structs of one generation of the catalog. When the generation has moved on, a new one
 *	  is begun and the old one is handed to the transaction, so that what was returned stays valid to its end. The
 *	  source is looked up with every call, because its struct is its own cache's to replace.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "catalog/cache.h"
#include "catalog/derived_stream.h"
#include "common/errors.h"
#include "strm_privacy.h"

enum
{
	DERIVED_ID = 1, DERIVED_RELATION, DERIVED_STREAM_ID, DERIVED_PURPOSES, DERIVED_CONSENT_LEVEL_TYPE,
	DERIVED_MASKED_FIELDS, DERIVED_HASH_TYPE, DERIVED_MASK_SEED, DERIVED_CREATED_AT, DERIVED_NATTS = DERIVED_CREATED_AT
};

typedef struct StrmDerivedEntry
{
	pg_uuid_t	id;				/* hash key; must be first */
	pg_uuid_t	stream_id;
	StrmDerivedStream derived;
} StrmDerivedEntry;

static struct
{
	MemoryContext cxt;			/* of the hash table, its entries, and all they point to */
	HTAB	   *entries;
	uint64		generation;
} cache;

/* Begins a new cache unless the present one is of this generation. */
static void
strm_derived_stream_refresh(void)
{
	uint64		generation;
	HASHCTL		ctl = {0};
	MemoryContext cxt;

	/* looks the OID up when it is not known, without which invalidations would not be noticed */
	(void) strm_catalog_table(STRM_TABLE_DERIVED_STREAM);
	generation = strm_catalog_generation();
	if (cache.cxt != NULL && cache.generation == generation)
		return;

	cxt = AllocSetContextCreate(CacheMemoryContext, "strm derived streams", ALLOCSET_SMALL_SIZES);
	ctl.keysize = sizeof(pg_uuid_t);
	ctl.entrysize = sizeof(StrmDerivedEntry);
	ctl.hcxt = cxt;
	if (cache.cxt != NULL)
		MemoryContextSetParent(cache.cxt, TopTransactionContext);
	cache.entries = hash_create("strm derived streams", 16, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	cache.cxt = cxt;
	cache.generation = generation;
}

static void
strm_derived_stream_raise_damaged(void)
{
	ereport(ERROR,
			errcode(STRM_ERR_FORGED),
			errmsg("a row of \"%s.derived_stream\" does not fit its source's data contract", STRM_SCHEMA_NAME));
}

void
strm_derived_stream_set_fields(StrmDerivedStream *derived, ArrayType *masked)
{
	const StrmContract *contract = derived->stream->contract;
	Datum	   *names;
	int			nnames;

	derived->fields = palloc0(Max(contract->nfields, 1) * sizeof(StrmDerivedField));
	for (int i = 0; i < contract->npersonal; i++)
	{
		int			ordinal = contract->personal[i];
		int			level = contract->fields[ordinal].level;

		for (int p = 0; p < derived->npurposes; p++)
			if (derived->cumulative ? level <= derived->purposes[p] : level == derived->purposes[p])
				derived->fields[ordinal].allowed = true;
	}

	deconstruct_array(masked, TEXTOID, -1, false, TYPALIGN_INT, &names, NULL, &nnames);
	for (int i = 0; i < nnames; i++)
	{
		int			ordinal = strm_contract_field(contract, TextDatumGetCString(names[i]));

		if (ordinal < 0)
			strm_derived_stream_raise_damaged();
		derived->fields[ordinal].masked = true;
	}
}

/* Fills entry from a row of the table; everything is copied into the current context. */
static void
strm_derived_stream_build(StrmDerivedEntry *entry, const Datum *values, const bool *nulls)
{
	StrmDerivedStream *derived = &entry->derived;
	ArrayType  *masked;
	Datum	   *purposes;
	char	   *hash_type = TextDatumGetCString(values[DERIVED_HASH_TYPE - 1]);
	char	   *consent_level_type = TextDatumGetCString(values[DERIVED_CONSENT_LEVEL_TYPE - 1]);

	entry->stream_id = *DatumGetUUIDP(values[DERIVED_STREAM_ID - 1]);
	derived->id = *DatumGetUUIDP(values[DERIVED_ID - 1]);
	derived->relid = DatumGetObjectId(values[DERIVED_RELATION - 1]);
	derived->stream = strm_catalog_stream(&entry->stream_id);
	if (derived->stream == NULL)
		strm_derived_stream_raise_damaged();
	derived->cumulative = strcmp(consent_level_type, "CUMULATIVE") == 0;
	derived->hash_type = strcmp(hash_type, "murmur3") == 0 ? STRM_HASH_MURMUR3 : STRM_HASH_BLAKE2B;
	derived->mask_seed = nulls[DERIVED_MASK_SEED - 1] ? NULL : DatumGetByteaPCopy(values[DERIVED_MASK_SEED - 1]);

	deconstruct_array(DatumGetArrayTypeP(values[DERIVED_PURPOSES - 1]), INT4OID, sizeof(int32), true, TYPALIGN_INT,
					  &purposes, NULL, &derived->npurposes);
	if (derived->npurposes == 0 || (derived->cumulative && derived->npurposes != 1))
		strm_derived_stream_raise_damaged();
	derived->purposes = palloc(derived->npurposes * sizeof(int32));
	for (int i = 0; i < derived->npurposes; i++)
		derived->purposes[i] = DatumGetInt32(purposes[i]);

	masked = DatumGetArrayTypeP(values[DERIVED_MASKED_FIELDS - 1]);
	if (ARR_NDIM(masked) > 0 && derived->mask_seed == NULL)
		strm_derived_stream_raise_damaged();
	strm_derived_stream_set_fields(derived, masked);
}

/* The row that the index has under key, read with a catalog snapshot; false if there is none. */
static bool
strm_derived_stream_read(StrmIndex index, ScanKey key, StrmDerivedEntry *entry)
{
	Relation	rel = table_open(strm_catalog_table(STRM_TABLE_DERIVED_STREAM), AccessShareLock);
	SysScanDesc scan = systable_beginscan(rel, strm_catalog_index(index), true, NULL, 1, key);
	HeapTuple	tuple = systable_getnext(scan);

	if (HeapTupleIsValid(tuple))
	{
		Datum		values[DERIVED_NATTS];
		bool		nulls[DERIVED_NATTS];

		heap_deform_tuple(tuple, RelationGetDescr(rel), values, nulls);
		strm_derived_stream_build(entry, values, nulls);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return HeapTupleIsValid(tuple);
}

const StrmDerivedStream *
strm_catalog_derived_stream(const pg_uuid_t *id)
{
	StrmDerivedEntry *entry;
	StrmDerivedEntry built;
	ScanKeyData key;
	MemoryContext old;
	bool		found;

	strm_derived_stream_refresh();
	entry = hash_search(cache.entries, id, HASH_FIND, NULL);
	if (entry != NULL)
	{
		entry->derived.stream = strm_catalog_stream(&entry->stream_id);
		return entry->derived.stream == NULL ? NULL : &entry->derived;
	}

	ScanKeyInit(&key, DERIVED_ID, BTEqualStrategyNumber, F_UUID_EQ, UUIDPGetDatum(id));
	old = MemoryContextSwitchTo(cache.cxt);
	found = strm_derived_stream_read(STRM_INDEX_DERIVED_STREAM, &key, &built);
	MemoryContextSwitchTo(old);
	if (!found)
		return NULL;

	entry = hash_search(cache.entries, id, HASH_ENTER, NULL);
	built.id = entry->id;
	*entry = built;
	return &entry->derived;
}

const StrmDerivedStream *
strm_catalog_derived_stream_of(Oid relid)
{
	StrmDerivedEntry built;
	ScanKeyData key;

	ScanKeyInit(&key, DERIVED_RELATION, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(relid));
	if (!strm_derived_stream_read(STRM_INDEX_DERIVED_STREAM_RELID, &key, &built))
		return NULL;
	return strm_catalog_derived_stream(&built.derived.id);
}
