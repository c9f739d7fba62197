/*
 * batch_export_keys.c
 *	  Rows of strm.data_key as lines of a file of keys.
 *
 *	  A key may have several rows (see there): of transactions that used it before the one that made it had committed.
 *	  It is exported with the first of them that a run has, and not again when an earlier run had one. Rotating the
 *	  master key updates rows, which is nothing that decoding counts; where the table is read, such keys come again.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "catalog/cache.h"
#include "common/secret.h"
#include "common/uuid.h"
#include "keys/key_record.h"
#include "strm_privacy.h"
#include "worker/batch_export_private.h"

/* Attributes of strm.data_key. */
#define STRM_DATA_KEY_COPY 1
#define STRM_DATA_KEY_KEY_LINK 5
#define STRM_DATA_KEY_OWNER 6

/* Who writes the rows of one file. */
struct StrmBatchExportKeys
{
	StrmByteSink sink;			/* into the chunk */
	StrmBatchExport *exporter;
	StrmRecordWriter *writer;
	StrmRecordValue values[STRM_KEY_RECORD_COLUMNS];
	StringInfoData keyset;
};

static void
strm_batch_export_keys_write(StrmByteSink *self, const char *data, Size size)
{
	strm_batch_export_append(((StrmBatchExportKeys *) self)->exporter, data, size);
}

/* The writer of the file under way. */
static StrmBatchExportKeys *
strm_batch_export_keys(StrmBatchExport *exporter)
{
	static const StrmRecordFormat format = {.kind = STRM_RECORD_CSV};
	MemoryContext old;

	if (exporter->keys != NULL)
		return exporter->keys;
	old = MemoryContextSwitchTo(exporter->file_cxt);
	exporter->keys = palloc0(sizeof(StrmBatchExportKeys));
	exporter->keys->sink.write = strm_batch_export_keys_write;
	exporter->keys->exporter = exporter;
	exporter->keys->keyset.data = strm_secret_alloc(exporter->file_cxt, 1024);
	exporter->keys->keyset.maxlen = 1024;
	exporter->keys->writer = strm_record_writer(&exporter->keys->sink, &format, strm_key_record_columns,
												STRM_KEY_RECORD_COLUMNS);
	MemoryContextSwitchTo(old);
	return exporter->keys;
}

/* Is the row with that number the one of its key link that is exported? */
static bool
strm_batch_export_key_is_first(StrmBatchExport *exporter, const pg_uuid_t *key_link, int64 number)
{
	Relation	rel = exporter->key_table;
	SysScanDesc scan;
	ScanKeyData key;
	HeapTuple	tuple;
	bool		first = true;

	ScanKeyInit(&key, STRM_DATA_KEY_KEY_LINK, BTEqualStrategyNumber, F_UUID_EQ, UUIDPGetDatum(key_link));
	scan = systable_beginscan(rel, strm_catalog_index(STRM_INDEX_DATA_KEY), true, GetActiveSnapshot(), 1, &key);
	while (first && HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		bool		isnull;
		int64		copy = DatumGetInt64(heap_getattr(tuple, STRM_DATA_KEY_COPY, RelationGetDescr(rel), &isnull));

		if (strm_snapshot_has_row(exporter->done, tuple->t_data, InvalidXLogRecPtr))
			first = false;
		else if (strm_snapshot_has_row(exporter->pending, tuple->t_data, InvalidXLogRecPtr) && copy < number)
			first = false;
	}
	systable_endscan(scan);
	return first;
}

/* Writes the line of a key. */
static StrmExportVerdict
strm_batch_export_key_line(StrmBatchExport *exporter, const pg_uuid_t *key_link)
{
	StrmDataKey *key = strm_data_key_find(key_link);
	StrmBatchExportKeys *keys;

	if (key == NULL)
		return STRM_EXPORT_FORGED;
	if (key->destroyed)
		return STRM_EXPORT_WITHHELD;
	keys = strm_batch_export_keys(exporter);
	strm_key_record_values(&exporter->policy, key, &keys->keyset, keys->values);
	keys->writer->write(keys->writer, keys->values);
	strm_secret_wipe(keys->keyset.data, keys->keyset.maxlen);
	/* the chunk is what is wiped */
	keys->writer->flush(keys->writer);
	return STRM_EXPORT_SEND;
}

StrmExportVerdict
strm_batch_export_key(StrmBatchExport *exporter, HeapTuple tuple, bool *skip)
{
	TupleDesc	desc;
	bool		isnull;
	pg_uuid_t	key_link;
	int64		copy;

	if (exporter->key_table == NULL)
		exporter->key_table = table_open(exporter->table, AccessShareLock);
	desc = RelationGetDescr(exporter->key_table);
	key_link = *DatumGetUUIDP(heap_getattr(tuple, STRM_DATA_KEY_KEY_LINK, desc, &isnull));
	copy = DatumGetInt64(heap_getattr(tuple, STRM_DATA_KEY_COPY, desc, &isnull));
	*skip = memcmp(DatumGetUUIDP(heap_getattr(tuple, STRM_DATA_KEY_OWNER, desc, &isnull)),
				   &exporter->definition->stream, sizeof(pg_uuid_t)) != 0 ||
		!strm_batch_export_key_is_first(exporter, &key_link, copy);
	return *skip ? STRM_EXPORT_FILTERED : strm_batch_export_key_line(exporter, &key_link);
}

void
strm_batch_export_audit_keys(StrmBatchExport *exporter, int64 count)
{
	ereport(LOG_SERVER_ONLY,
			errhidestmt(true),
			errhidecontext(true),
			errmsg("role \"%s\" exported " INT64_FORMAT " data keys of stream %s",
				   GetUserNameFromId(exporter->definition->owner, false), count,
				   strm_uuid_text(&exporter->definition->stream)),
			errdetail("Batch exporter \"%s\" wrote them.", exporter->definition->name));
}
