/*
 * batch_export_refresh.c
 *	  What the batch export worker knows of definitions, and which tables these want.
 *
 *	  It looks again in each transaction, also during a run. An exporter whose definition is gone stays in memory until
 *	  its run has noticed.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "catalog/cache.h"
#include "export/erased.h"
#include "strm_privacy.h"
#include "worker/batch_export_private.h"

static StrmBatchExport *
strm_batch_export_find(StrmBatchExportSession *session, const pg_uuid_t *id)
{
	ListCell   *lc;

	foreach(lc, session->exporters)
	{
		StrmBatchExport *exporter = lfirst(lc);

		if (memcmp(&exporter->definition->id, id, sizeof(pg_uuid_t)) == 0)
			return exporter;
	}
	return NULL;
}

static StrmBatchExport *
strm_batch_export_create(StrmBatchExportSession *session)
{
	MemoryContext cxt = AllocSetContextCreate(session->cxt, "strm_privacy batch exporter", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(cxt);
	StrmBatchExport *exporter = palloc0(sizeof(StrmBatchExport));

	exporter->session = session;
	exporter->cxt = cxt;
	exporter->missed = true;
	exporter->run_cxt = AllocSetContextCreate(cxt, "strm_privacy batch exporter's run", ALLOCSET_DEFAULT_SIZES);
	exporter->file_cxt = AllocSetContextCreate(cxt, "strm_privacy batch exporter's file", ALLOCSET_DEFAULT_SIZES);
	initStringInfo(&exporter->key);
	initStringInfo(&exporter->value);
	MemoryContextSwitchTo(session->cxt);
	session->exporters = lappend(session->exporters, exporter);
	MemoryContextSwitchTo(old);
	return exporter;
}

/* Copies a definition into the exporter. */
static void
strm_batch_export_define(StrmBatchExport *exporter, const StrmBatchExporter *definition)
{
	MemoryContext cxt = AllocSetContextCreate(exporter->cxt, "strm_privacy definition", ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(cxt);
	StrmBatchExporter *copy = palloc(sizeof(StrmBatchExporter));
	StrmStream *stream;

	*copy = *definition;
	copy->name = pstrdup(definition->name);
	copy->path_prefix = pstrdup(definition->path_prefix);
	copy->defined_at = pstrdup(definition->defined_at);
	MemoryContextSwitchTo(old);
	if (exporter->definition_cxt != NULL)
		MemoryContextDelete(exporter->definition_cxt);
	exporter->definition_cxt = cxt;
	exporter->definition = copy;
	stream = strm_catalog_stream(&copy->stream);
	exporter->table = stream == NULL ? InvalidOid : stream->relid;
	if (stream != NULL && copy->keys)
		exporter->table = strm_catalog_table(STRM_TABLE_DATA_KEY);
	exporter->found = true;
}

/* Builds the map of tables anew. */
static void
strm_batch_export_map(StrmBatchExportSession *session)
{
	MemoryContext cxt = strm_export_tables_reset(session->tables);
	MemoryContext old = MemoryContextSwitchTo(cxt);
	ListCell   *lc;

	foreach(lc, session->exporters)
	{
		StrmBatchExport *exporter = lfirst(lc);
		StrmBatchExportReaders *readers;

		if (!exporter->found || !OidIsValid(exporter->table))
			continue;
		readers = strm_export_tables_find(session->tables, exporter->table);
		if (readers == NULL || readers->table != exporter->table)
		{
			readers = palloc0(sizeof(StrmBatchExportReaders));
			readers->table = exporter->table;
			strm_export_tables_add(session->tables, exporter->table, readers);
		}
		readers->exporters = lappend(readers->exporters, exporter);
	}
	MemoryContextSwitchTo(old);
}

bool
strm_batch_export_refresh(StrmBatchExportSession *session)
{
	List	   *definitions;
	uint64		generation;
	bool		any = false;
	ListCell   *lc;

	(void) strm_catalog_table(STRM_TABLE_BATCH_EXPORTER);
	generation = strm_catalog_generation();
	if (session->fresh && generation == session->generation)
		return session->exporters != NIL;
	definitions = strm_batch_exporters();
	foreach(lc, session->exporters)
		((StrmBatchExport *) lfirst(lc))->found = false;
	foreach(lc, definitions)
	{
		StrmBatchExporter *definition = lfirst(lc);
		StrmBatchExport *exporter = strm_batch_export_find(session, &definition->id);

		if (!definition->ours)
			continue;
		strm_batch_export_define(exporter ? exporter : strm_batch_export_create(session), definition);
		any = true;
	}
	foreach(lc, session->exporters)
	{
		if (!((StrmBatchExport *) lfirst(lc))->found)
			((StrmBatchExport *) lfirst(lc))->gone = true;
	}
	strm_batch_export_map(session);
	session->erased = strm_erased_exist();
	session->generation = generation;
	session->fresh = true;
	return any;
}

bool
strm_batch_export_wanted(void *arg, Oid relid)
{
	StrmBatchExportSession *session = arg;

	return !session->skip && strm_export_tables_wanted(session->tables, relid);
}

void
strm_batch_export_forget_gone(StrmBatchExportSession *session)
{
	bool		any = false;
	ListCell   *lc;

	foreach(lc, session->exporters)
		any |= ((StrmBatchExport *) lfirst(lc))->gone;
	if (!any)
		return;
	strm_batch_export_begin();
	foreach(lc, session->exporters)
	{
		StrmBatchExport *exporter = lfirst(lc);

		if (!exporter->gone)
			continue;
		strm_batch_exporter_status_forget(&exporter->definition->id);
		session->exporters = foreach_delete_current(session->exporters, lc);
		strm_batch_export_wipe_chunk(exporter);
		MemoryContextDelete(exporter->cxt);
	}
	/* the map points to them */
	session->fresh = false;
	(void) strm_batch_export_refresh(session);
	strm_batch_export_end(session);
}
