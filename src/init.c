/*
 * init.c
 *	  The module's entry point: a list of calls.
 */
#include "postgres.h"

#include "fmgr.h"

#include "catalog/cache.h"
#include "guard/guard.h"
#include "guc/guc.h"
#include "ingest/inbox.h"
#include "keys/creation_lock.h"
#include "keys/data_key.h"
#include "strm_privacy.h"
#include "worker/worker.h"

PG_MODULE_MAGIC;

PGDLLEXPORT void _PG_init(void);

void
_PG_init(void)
{
	strm_guc_init();
	strm_creation_lock_init();
	strm_data_key_init();
	strm_catalog_init();
	strm_inbox_init();
	strm_guard_init();
	strm_worker_init();
}
