/*
 * erased.c
 *	  Rows of strm.erased_event: written by whoever erases data subjects, read by export workers, and forgotten by the
 *	  scheduler.
 *
 *	  A row is to be kept as long as a replication slot may bring the event, also after a crash, which may set a slot's
 *	  confirmed position back, but not its restart position. An event was committed before, or by, the transaction that
 *	  noted it. So the scheduler gives the rows that it sees for the first time the present end of the WAL, which is
 *	  behind that transaction, and deletes them when all slots begin behind it.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/table.h"
#include "catalog/pg_type.h"
#include "utils/fmgroids.h"
#include "utils/pg_lsn.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "catalog/cache.h"
#include "catalog/registry.h"
#include "export/decoder.h"
#include "export/erased.h"
#include "strm_privacy.h"

/* Attributes of strm.erased_event. */
#define STRM_ERASED_KEY_LINK 1
#define STRM_ERASED_NONCE 2

bool
strm_erased_concern(const pg_uuid_t *stream)
{
	Oid			types[1] = {UUIDOID};
	Datum		args[1] = {UUIDPGetDatum(stream)};
	Datum		found;
	bool		isnull;

	return strm_registry_fetch("SELECT 1 FROM strm.kafka_exporter WHERE stream_id = $1 UNION ALL"
							   " SELECT 1 FROM strm.batch_exporter WHERE stream_id = $1 AND NOT keys LIMIT 1",
							   1, types, args, NULL, &found, &isnull);
}

void
strm_erased_note(const pg_uuid_t *stream, const pg_uuid_t *key_link, ArrayType *nonces)
{
	Oid			types[3] = {UUIDOID, UUIDOID, INT4ARRAYOID};
	Datum		args[3] = {UUIDPGetDatum(stream), UUIDPGetDatum(key_link), PointerGetDatum(nonces)};

	strm_registry_execute("INSERT INTO strm.erased_event (stream_id, key_link, nonce)"
						  " SELECT $1, $2, n FROM unnest($3) AS n WHERE n IS NOT NULL ON CONFLICT DO NOTHING",
						  3, types, args, NULL);
}

/* Is there a row with these keys? Those of transactions that have just committed are seen, too. */
static bool
strm_erased_find(int nkeys, ScanKeyData *keys)
{
	Relation	rel = table_open(strm_catalog_table(STRM_TABLE_ERASED_EVENT), AccessShareLock);
	Oid			index = nkeys > 0 ? strm_catalog_index(STRM_INDEX_ERASED_EVENT) : InvalidOid;
	SysScanDesc scan = systable_beginscan(rel, index, nkeys > 0, SnapshotSelf, nkeys, keys);
	bool		found = HeapTupleIsValid(systable_getnext(scan));

	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return found;
}

bool
strm_erased_exist(void)
{
	return strm_erased_find(0, NULL);
}

bool
strm_erased_has(const pg_uuid_t *key_link, int32 nonce)
{
	ScanKeyData keys[2];

	ScanKeyInit(&keys[0], STRM_ERASED_KEY_LINK, BTEqualStrategyNumber, F_UUID_EQ, UUIDPGetDatum(key_link));
	ScanKeyInit(&keys[1], STRM_ERASED_NONCE, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(nonce));
	return strm_erased_find(2, keys);
}

/* Where the WAL begins that slots of this database may still read, 0 while one is made. A lost one reads nothing. */
static XLogRecPtr
strm_erased_horizon(void)
{
	XLogRecPtr	horizon = PG_UINT64_MAX;
	ListCell   *lc;

	foreach(lc, strm_slot_list())
	{
		StrmSlotInfo info;

		strm_slot_read(lfirst(lc), &info);
		if (info.state != STRM_SLOT_LOST)
			horizon = Min(horizon, info.restart);
	}
	return horizon;
}

bool
strm_erased_sweep(void)
{
	Oid			types[1] = {PG_LSNOID};
	Datum		args[1];

	if (!strm_erased_exist())
		return false;
	args[0] = LSNGetDatum(strm_erased_horizon());
	if (strm_registry_execute("DELETE FROM strm.erased_event e WHERE e.lsn <= $1"
							  " OR NOT EXISTS (SELECT FROM strm.kafka_exporter k WHERE k.stream_id = e.stream_id) AND"
							  "  NOT EXISTS (SELECT FROM strm.batch_exporter b WHERE b.stream_id = e.stream_id)",
							  1, types, args, NULL) > 0)
		strm_catalog_move_generation();
	strm_registry_execute("UPDATE strm.erased_event SET lsn = pg_current_wal_insert_lsn() WHERE lsn IS NULL", 0, NULL,
						  NULL, NULL);
	return strm_erased_exist();
}
