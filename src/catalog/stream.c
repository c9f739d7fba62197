/*
 * stream.c
 *	  Streams by id and by table, with their compiled contracts, cached per backend.
 *
 *	  The cache is one memory context. When the catalog generation moves, a new one is begun and the old one becomes a
 *	  child of the transaction's, so that what callers still hold stays valid to the end of the transaction.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "utils/fmgroids.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "catalog/cache.h"
#include "catalog/contract.h"
#include "catalog/stream.h"
#include "strm_privacy.h"

enum
{
	STREAM_ID = 1, STREAM_RELATION, STREAM_CONTRACT_ID, STREAM_POLICY_ID, STREAM_KEY_ROTATION, STREAM_PARTITION_BY,
	STREAM_NATTS = STREAM_PARTITION_BY
};

typedef struct StrmStreamById
{
	pg_uuid_t	id;
	StrmStream *stream;
} StrmStreamById;

typedef struct StrmStreamByTable
{
	Oid			relid;
	StrmStream *stream;
} StrmStreamByTable;

static struct
{
	MemoryContext cxt;
	HTAB	   *by_id;
	HTAB	   *by_table;
	uint64		generation;
} cache;

static HTAB *
strm_stream_cache_table(const char *name, Size key_size, Size entry_size)
{
	HASHCTL		ctl = {.keysize = key_size, .entrysize = entry_size, .hcxt = cache.cxt};

	return hash_create(name, 32, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

/* Begins an empty cache unless the present one is up to date. */
static void
strm_stream_cache_refresh(void)
{
	uint64		generation = strm_catalog_generation();

	if (cache.cxt != NULL && cache.generation == generation)
		return;
	if (cache.cxt != NULL)
		MemoryContextSetParent(cache.cxt, TopTransactionContext);
	cache.cxt = AllocSetContextCreate(CacheMemoryContext, "strm_privacy streams", ALLOCSET_SMALL_SIZES);
	cache.by_id = strm_stream_cache_table("strm_privacy streams by id", sizeof(pg_uuid_t), sizeof(StrmStreamById));
	cache.by_table = strm_stream_cache_table("strm_privacy streams by table", sizeof(Oid), sizeof(StrmStreamByTable));
	cache.generation = generation;
}

/* Reads the one row that key finds; NULL if there is none. The result is in the cache's context. */
static StrmStream *
strm_stream_read(StrmIndex index, ScanKey key)
{
	Relation	streams = table_open(strm_catalog_table(STRM_TABLE_STREAM), AccessShareLock);
	SysScanDesc scan = systable_beginscan(streams, strm_catalog_index(index), true, NULL, 1, key);
	HeapTuple	tuple = systable_getnext(scan);
	StrmStream *stream = NULL;
	int			contract_id = 0;

	if (HeapTupleIsValid(tuple))
	{
		Datum		values[STREAM_NATTS + 1];
		bool		nulls[STREAM_NATTS + 1];

		Assert(RelationGetDescr(streams)->natts == STREAM_NATTS + 1);
		heap_deform_tuple(tuple, RelationGetDescr(streams), values, nulls);
		stream = MemoryContextAllocZero(cache.cxt, sizeof(StrmStream));
		stream->id = *DatumGetUUIDP(values[STREAM_ID - 1]);
		stream->relid = DatumGetObjectId(values[STREAM_RELATION - 1]);
		stream->key_rotation = *DatumGetIntervalP(values[STREAM_KEY_ROTATION - 1]);
		stream->partitioned = !nulls[STREAM_PARTITION_BY - 1];
		if (stream->partitioned)
			stream->partition_by = *DatumGetIntervalP(values[STREAM_PARTITION_BY - 1]);
		contract_id = DatumGetInt32(values[STREAM_CONTRACT_ID - 1]);
	}
	systable_endscan(scan);
	table_close(streams, AccessShareLock);
	if (stream != NULL)
		stream->contract = strm_catalog_contract(contract_id);
	return stream;
}

/*
 * Enters stream under both keys. Reading it may have taken note of an invalidation; the entry is then in a cache that
 * the next refresh drops, never in one that counts as newer than what was read.
 */
static void
strm_stream_cache_enter(StrmStream *stream)
{
	bool		found;

	((StrmStreamById *) hash_search(cache.by_id, &stream->id, HASH_ENTER, &found))->stream = stream;
	((StrmStreamByTable *) hash_search(cache.by_table, &stream->relid, HASH_ENTER, &found))->stream = stream;
}

StrmStream *
strm_catalog_stream(const pg_uuid_t *id)
{
	StrmStreamById *entry;
	StrmStream *stream;
	ScanKeyData key;

	strm_stream_cache_refresh();
	entry = hash_search(cache.by_id, id, HASH_FIND, NULL);
	if (entry != NULL)
		return entry->stream;

	ScanKeyInit(&key, STREAM_ID, BTEqualStrategyNumber, F_UUID_EQ, UUIDPGetDatum(id));
	stream = strm_stream_read(STRM_INDEX_STREAM, &key);
	if (stream != NULL)
		strm_stream_cache_enter(stream);
	return stream;
}

StrmStream *
strm_catalog_stream_of(Oid relid)
{
	StrmStreamByTable *entry;
	StrmStream *stream;
	ScanKeyData key;

	strm_stream_cache_refresh();
	entry = hash_search(cache.by_table, &relid, HASH_FIND, NULL);
	if (entry != NULL)
		return entry->stream;

	ScanKeyInit(&key, STREAM_RELATION, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(relid));
	stream = strm_stream_read(STRM_INDEX_STREAM_RELID, &key);
	if (stream != NULL)
		strm_stream_cache_enter(stream);
	return stream;
}
