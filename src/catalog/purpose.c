/*
 * purpose.c
 *	  Rows of strm.purpose. Asked when something is defined, never for a row: not cached.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/table.h"
#include "utils/fmgroids.h"

#include "catalog/cache.h"
#include "catalog/purpose.h"
#include "strm_privacy.h"

#define PURPOSE_LEVEL 1

bool
strm_catalog_purpose_exists(int32 level)
{
	Relation	table = table_open(strm_catalog_table(STRM_TABLE_PURPOSE), AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	bool		found;

	ScanKeyInit(&key, PURPOSE_LEVEL, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(level));
	scan = systable_beginscan(table, strm_catalog_index(STRM_INDEX_PURPOSE), true, NULL, 1, &key);
	found = HeapTupleIsValid(systable_getnext(scan));
	systable_endscan(scan);
	table_close(table, AccessShareLock);
	return found;
}
