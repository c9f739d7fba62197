/*
 * tables.c
 *	  Which tables an export worker wants: those of streams that it exports, with all their partitions.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/partition.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "nodes/pg_list.h"
#include "storage/lockdefs.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

#include "export/tables.h"
#include "strm_privacy.h"

typedef struct StrmExportEntry
{
	Oid			relid;			/* hash key; must be first */
	void	   *stream;			/* NULL: none of ours */
	bool		unsure;			/* something happened to the table */
} StrmExportEntry;

struct StrmExportTables
{
	MemoryContext cxt;
	HTAB	   *entries;
};

/* Something happened to a table: it may be a partition of ours now. Only marks. */
static void
strm_export_tables_changed(Datum arg, Oid relid)
{
	StrmExportTables *tables = (StrmExportTables *) DatumGetPointer(arg);
	HASH_SEQ_STATUS scan;
	StrmExportEntry *entry;

	if (tables->entries == NULL)
		return;
	if (OidIsValid(relid))
	{
		entry = hash_search(tables->entries, &relid, HASH_FIND, NULL);
		if (entry != NULL)
			entry->unsure = true;
		return;
	}
	hash_seq_init(&scan, tables->entries);
	while ((entry = hash_seq_search(&scan)) != NULL)
		entry->unsure = true;
}

StrmExportTables *
strm_export_tables_create(void)
{
	StrmExportTables *tables = palloc0(sizeof(StrmExportTables));

	tables->cxt = AllocSetContextCreate(CurrentMemoryContext, "strm_privacy exported tables", ALLOCSET_SMALL_SIZES);
	CacheRegisterRelcacheCallback(strm_export_tables_changed, PointerGetDatum(tables));
	return tables;
}

MemoryContext
strm_export_tables_reset(StrmExportTables *tables)
{
	HASHCTL		control = {.keysize = sizeof(Oid), .entrysize = sizeof(StrmExportEntry)};

	tables->entries = NULL;
	MemoryContextReset(tables->cxt);
	control.hcxt = tables->cxt;
	tables->entries = hash_create("strm_privacy exported tables", 64, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	return tables->cxt;
}

static void
strm_export_tables_put(StrmExportTables *tables, Oid relid, void *stream)
{
	StrmExportEntry *entry = hash_search(tables->entries, &relid, HASH_ENTER, NULL);

	entry->stream = stream;
	entry->unsure = false;
}

void
strm_export_tables_add(StrmExportTables *tables, Oid relid, void *stream)
{
	List	   *relids = find_all_inheritors(relid, NoLock, NULL);
	ListCell   *lc;

	foreach(lc, relids)
		strm_export_tables_put(tables, lfirst_oid(lc), stream);
	list_free(relids);
}

void *
strm_export_tables_find(StrmExportTables *tables, Oid relid)
{
	StrmExportEntry *entry = hash_search(tables->entries, &relid, HASH_FIND, NULL);

	return entry == NULL ? NULL : entry->stream;
}

static bool
strm_export_is_partition(Oid relid)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	bool		is;

	if (!HeapTupleIsValid(tuple))
		return false;
	is = ((Form_pg_class) GETSTRUCT(tuple))->relispartition;
	ReleaseSysCache(tuple);
	return is;
}

bool
strm_export_tables_wanted(StrmExportTables *tables, Oid relid)
{
	StrmExportEntry *entry = hash_search(tables->entries, &relid, HASH_FIND, NULL);

	if (entry == NULL || (entry->unsure && entry->stream == NULL))
		return strm_export_is_partition(relid);
	return entry->stream != NULL;
}

void *
strm_export_tables_stream(StrmExportTables *tables, Oid relid)
{
	StrmExportEntry *entry = hash_search(tables->entries, &relid, HASH_FIND, NULL);
	void	   *stream = NULL;
	ListCell   *lc;

	if (entry != NULL && (entry->stream != NULL || !entry->unsure))
		return entry->stream;
	if (strm_export_is_partition(relid))
	{
		/* the stream may be a partition of something larger itself */
		foreach(lc, get_partition_ancestors(relid))
		{
			stream = strm_export_tables_find(tables, lfirst_oid(lc));
			if (stream != NULL)
				break;
		}
	}
	strm_export_tables_put(tables, relid, stream);
	return stream;
}
