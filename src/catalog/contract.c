/*
 * contract.c
 *	  Rows of strm.data_contract, and the backend's cache of compiled contracts.
 *
 *	  Each compiled contract has its own memory context below the cache's. One that turns out stale at a lookup may be
 *	  in use by a statement that runs: its context is handed to the transaction, which frees it when it ends.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "catalog/cache.h"
#include "catalog/contract.h"
#include "common/errors.h"
#include "strm_privacy.h"

/* Columns of strm.data_contract that are read here. */
enum
{
	CONTRACT_ID = 1, CONTRACT_HANDLE, CONTRACT_NAME, CONTRACT_VERSION, CONTRACT_STATE, CONTRACT_AUTHOR, CONTRACT_OWNER,
	CONTRACT_REVISION, CONTRACT_SCHEMA, CONTRACT_CONTRACT
};

static const char *const state_names[] = {
	[STRM_CONTRACT_DRAFT] = "DRAFT",
	[STRM_CONTRACT_IN_REVIEW] = "IN_REVIEW",
	[STRM_CONTRACT_APPROVED] = "APPROVED",
	[STRM_CONTRACT_ACTIVE] = "ACTIVE",
	[STRM_CONTRACT_ARCHIVED] = "ARCHIVED",
};

typedef struct StrmContractEntry
{
	int			id;				/* hash key */
	uint64		generation;		/* of the catalog when it was read */
	MemoryContext cxt;			/* holds contract */
	StrmContract *contract;
} StrmContractEntry;

static HTAB *contracts = NULL;

const char *
strm_catalog_contract_state_name(StrmContractState state)
{
	return state_names[state];
}

/* A column that is NOT NULL. */
static Datum
strm_contract_column(HeapTuple tuple, TupleDesc desc, AttrNumber attno)
{
	bool		isnull;
	Datum		value = heap_getattr(tuple, attno, desc, &isnull);

	if (isnull)
		ereport(ERROR,
				errcode(STRM_ERR_INTERNAL),
				errmsg("column %d of strm.data_contract is null", attno));
	return value;
}

static StrmContractState
strm_contract_column_state(HeapTuple tuple, TupleDesc desc)
{
	char	   *name = TextDatumGetCString(strm_contract_column(tuple, desc, CONTRACT_STATE));

	for (int i = 0; i < lengthof(state_names); i++)
	{
		if (strcmp(state_names[i], name) == 0)
			return i;
	}
	ereport(ERROR,
			errcode(STRM_ERR_INTERNAL),
			errmsg("unknown state \"%s\" in strm.data_contract", name));
}

/* Compiles the contract of a row, in the current context. */
static StrmContract *
strm_contract_of_tuple(HeapTuple tuple, TupleDesc desc)
{
	Jsonb	   *schema = DatumGetJsonbP(strm_contract_column(tuple, desc, CONTRACT_SCHEMA));
	Jsonb	   *source = DatumGetJsonbP(strm_contract_column(tuple, desc, CONTRACT_CONTRACT));
	StrmContract *contract = strm_contract_compile(schema, source);

	contract->id = DatumGetInt32(strm_contract_column(tuple, desc, CONTRACT_ID));
	contract->handle = TextDatumGetCString(strm_contract_column(tuple, desc, CONTRACT_HANDLE));
	contract->name = TextDatumGetCString(strm_contract_column(tuple, desc, CONTRACT_NAME));
	contract->version = TextDatumGetCString(strm_contract_column(tuple, desc, CONTRACT_VERSION));
	contract->state = strm_contract_column_state(tuple, desc);
	return contract;
}

/*
 * Reads and compiles the contract into a context of its own, a child of the current one until it is complete. NULL when
 * there is no such row.
 */
static StrmContract *
strm_contract_load(int id, uint64 *generation, MemoryContext *cxt)
{
	Relation	table = table_open(strm_catalog_table(STRM_TABLE_DATA_CONTRACT), AccessShareLock);
	Oid			index = strm_catalog_index(STRM_INDEX_DATA_CONTRACT);
	StrmContract *contract = NULL;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	*generation = strm_catalog_generation();
	ScanKeyInit(&key, CONTRACT_ID, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(id));
	scan = systable_beginscan(table, index, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		MemoryContext old;

		*cxt = AllocSetContextCreate(CurrentMemoryContext, "strm_privacy contract", ALLOCSET_SMALL_SIZES);
		old = MemoryContextSwitchTo(*cxt);
		contract = strm_contract_of_tuple(tuple, RelationGetDescr(table));
		MemoryContextSwitchTo(old);
	}
	systable_endscan(scan);
	table_close(table, AccessShareLock);
	return contract;
}

static void
strm_contract_cache_create(void)
{
	HASHCTL		control = {.keysize = sizeof(int), .entrysize = sizeof(StrmContractEntry)};

	control.hcxt = AllocSetContextCreate(CacheMemoryContext, "strm_privacy contracts", ALLOCSET_DEFAULT_SIZES);
	contracts = hash_create("strm_privacy contracts", 32, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

StrmContract *
strm_catalog_contract(int id)
{
	StrmContractEntry *entry = NULL;
	StrmContract *contract;
	uint64		generation;
	MemoryContext cxt;
	bool		found;

	if (contracts == NULL)
		strm_contract_cache_create();

	entry = hash_search(contracts, &id, HASH_FIND, NULL);
	if (entry != NULL && entry->generation == strm_catalog_generation())
		return entry->contract;

	contract = strm_contract_load(id, &generation, &cxt);

	/* The load may have come here again for the same id, by an error context or a hook: look anew. */
	entry = hash_search(contracts, &id, contract == NULL ? HASH_FIND : HASH_ENTER, &found);
	if (found)
		MemoryContextSetParent(entry->cxt, TopTransactionContext);
	if (contract == NULL)
	{
		if (found)
			(void) hash_search(contracts, &id, HASH_REMOVE, NULL);
		return NULL;
	}
	MemoryContextSetParent(cxt, CacheMemoryContext);
	entry->generation = generation;
	entry->cxt = cxt;
	entry->contract = contract;
	return contract;
}

bool
strm_catalog_contract_row(const char *handle, const char *name, const char *version, StrmContractRow *row)
{
	Relation	table = table_open(strm_catalog_table(STRM_TABLE_DATA_CONTRACT), AccessShareLock);
	TupleDesc	desc = RelationGetDescr(table);
	ScanKeyData keys[3];
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		found;

	ScanKeyInit(&keys[0], CONTRACT_HANDLE, BTEqualStrategyNumber, F_TEXTEQ, CStringGetTextDatum(handle));
	ScanKeyInit(&keys[1], CONTRACT_NAME, BTEqualStrategyNumber, F_TEXTEQ, CStringGetTextDatum(name));
	ScanKeyInit(&keys[2], CONTRACT_VERSION, BTEqualStrategyNumber, F_TEXTEQ, CStringGetTextDatum(version));
	scan = systable_beginscan(table, strm_catalog_index(STRM_INDEX_DATA_CONTRACT_REF), true, NULL, 3, keys);
	tuple = systable_getnext(scan);
	found = HeapTupleIsValid(tuple);
	if (found)
	{
		row->id = DatumGetInt32(strm_contract_column(tuple, desc, CONTRACT_ID));
		row->state = strm_contract_column_state(tuple, desc);
		row->revision = DatumGetInt32(strm_contract_column(tuple, desc, CONTRACT_REVISION));
		row->author = TextDatumGetCString(strm_contract_column(tuple, desc, CONTRACT_AUTHOR));
		row->owner = TextDatumGetCString(strm_contract_column(tuple, desc, CONTRACT_OWNER));
		row->schema = DatumGetJsonbPCopy(strm_contract_column(tuple, desc, CONTRACT_SCHEMA));
		row->contract = DatumGetJsonbPCopy(strm_contract_column(tuple, desc, CONTRACT_CONTRACT));
	}
	systable_endscan(scan);
	table_close(table, AccessShareLock);
	return found;
}

int
strm_catalog_contract_id(const char *handle, const char *name, const char *version)
{
	StrmContractRow row;

	return strm_catalog_contract_row(handle, name, version, &row) ? row.id : 0;
}
