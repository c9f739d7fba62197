/*
 * export_refresh.c
 *	  What a session knows of definitions: the cluster, its exporters, and which tables they want.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "catalog/cache.h"
#include "common/errors.h"
#include "export/erased.h"
#include "strm_privacy.h"
#include "worker/export_private.h"

/* --- tables --- */

/* The stream with all its exporters, and its partitions. */
static void
strm_export_map_stream(StrmExportSession *session, Oid stream, MemoryContext cxt)
{
	MemoryContext old = MemoryContextSwitchTo(cxt);
	StrmExportRelation *relation = palloc0(sizeof(StrmExportRelation));
	ListCell   *lc;

	relation->stream = stream;
	relation->exporters = palloc(list_length(session->exporters) * sizeof(StrmExportExporter *));
	foreach(lc, session->exporters)
	{
		StrmExportExporter *exporter = lfirst(lc);

		if (exporter->stream == stream)
			relation->exporters[relation->nexporters++] = exporter;
	}
	MemoryContextSwitchTo(old);
	strm_export_tables_add(session->tables, stream, relation);
}

/* Builds the map of tables anew. */
static void
strm_export_map(StrmExportSession *session)
{
	MemoryContext cxt;
	MemoryContext old;
	ListCell   *lc;

	if (session->tables == NULL)
	{
		old = MemoryContextSwitchTo(session->cxt);
		session->tables = strm_export_tables_create();
		MemoryContextSwitchTo(old);
	}
	cxt = strm_export_tables_reset(session->tables);
	session->definitions = strm_catalog_table(STRM_TABLE_KAFKA_EXPORTER);
	foreach(lc, session->exporters)
	{
		Oid			stream = ((StrmExportExporter *) lfirst(lc))->stream;
		StrmExportRelation *relation = OidIsValid(stream) ? strm_export_tables_find(session->tables, stream) : NULL;

		if (OidIsValid(stream) && (relation == NULL || relation->stream != stream))
			strm_export_map_stream(session, stream, cxt);
	}
}

bool
strm_export_wanted(void *arg, Oid relid)
{
	StrmExportSession *session = arg;

	return relid == session->definitions || strm_export_tables_wanted(session->tables, relid);
}

/* --- definitions --- */

static bool
strm_export_same_bytes(const void *a, const void *b)
{
	if (a == NULL || b == NULL)
		return a == b;
	return VARSIZE(a) == VARSIZE(b) && memcmp(a, b, VARSIZE(a)) == 0;
}

/* Must producers be made anew for that change of the cluster's definition? */
static bool
strm_export_cluster_differs(const StrmKafkaCluster *a, const StrmKafkaCluster *b)
{
	return strcmp(a->bootstrap_servers, b->bootstrap_servers) != 0 || a->trusted != b->trusted ||
		!strm_export_same_bytes(a->config, b->config) || !strm_export_same_bytes(a->credentials, b->credentials);
}

/* Reads the cluster. false: it is gone. */
static bool
strm_export_refresh_cluster(StrmExportSession *session)
{
	MemoryContext cxt = AllocSetContextCreate(session->cxt, "strm_privacy cluster", ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(cxt);
	StrmKafkaCluster *cluster = strm_kafka_cluster_by_id(&session->id);
	ListCell   *lc;

	MemoryContextSwitchTo(old);
	if (cluster == NULL)
	{
		MemoryContextDelete(cxt);
		return false;
	}
	if (session->cluster == NULL && cluster->ours)
		strm_kafka_cluster_take_over(&session->id);
	if (session->cluster != NULL && strm_export_cluster_differs(session->cluster, cluster))
	{
		foreach(lc, session->exporters)
		{
			StrmExportExporter *exporter = lfirst(lc);

			strm_export_shut(exporter);
			exporter->retry_at = 0;
			exporter->registered = false;
		}
	}
	if (session->cluster_cxt != NULL)
		MemoryContextDelete(session->cluster_cxt);
	session->cluster_cxt = cxt;
	session->cluster = cluster;
	return true;
}

static StrmExportExporter *
strm_export_find(StrmExportSession *session, const pg_uuid_t *id)
{
	ListCell   *lc;

	foreach(lc, session->exporters)
	{
		StrmExportExporter *exporter = lfirst(lc);

		if (memcmp(&exporter->definition->id, id, sizeof(pg_uuid_t)) == 0)
			return exporter;
	}
	return NULL;
}

/* Copies a definition into the exporter. */
static void
strm_export_define(StrmExportExporter *exporter, const StrmKafkaExporter *definition)
{
	MemoryContext cxt = AllocSetContextCreate(exporter->cxt, "strm_privacy definition", ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(cxt);
	const StrmKafkaExporter *before = exporter->definition;
	StrmKafkaExporter *copy = palloc(sizeof(StrmKafkaExporter));
	StrmStream *stream;

	*copy = *definition;
	copy->name = pstrdup(definition->name);
	copy->topic = pstrdup(definition->topic);
	copy->defined_at = pstrdup(definition->defined_at);
	MemoryContextSwitchTo(old);
	if (before != NULL && (strcmp(before->topic, copy->topic) != 0 || before->format != copy->format))
		strm_export_shut(exporter);
	if (exporter->definition_cxt != NULL)
		MemoryContextDelete(exporter->definition_cxt);
	exporter->definition_cxt = cxt;
	exporter->definition = copy;
	stream = strm_catalog_stream(&copy->stream);
	exporter->stream = stream ? stream->relid : InvalidOid;
}

/* Takes over one definition, known or new, and its state. */
static void
strm_export_refresh_one(StrmExportSession *session, const StrmKafkaExporter *definition)
{
	StrmExportExporter *exporter = strm_export_find(session, &definition->id);
	StrmExporterStatus row;
	bool		found = strm_exporter_status_read(&definition->id, &row);
	MemoryContext old;

	if (exporter == NULL)
	{
		exporter = strm_export_create(session);
		strm_export_define(exporter, definition);
		old = MemoryContextSwitchTo(exporter->cxt);
		exporter->progress = strm_progress_create(definition->partitions);
		MemoryContextSwitchTo(old);
		old = MemoryContextSwitchTo(session->cxt);
		session->exporters = lappend(session->exporters, exporter);
		MemoryContextSwitchTo(old);
	}
	else
		strm_export_define(exporter, definition);
	exporter->found = true;
	if (found)
		strm_export_adopt(exporter, &row);
	else if (exporter->status.epoch == 0)
	{
		exporter->status.epoch = 1;
		exporter->status.state = STRM_EXPORTER_CREATING;
		exporter->status.since = GetCurrentTimestamp();
		exporter->unwritten = true;
	}
}

static void
strm_export_refresh_exporters(StrmExportSession *session)
{
	List	   *definitions = strm_kafka_exporters(&session->id);
	ListCell   *lc;

	foreach(lc, session->exporters)
		((StrmExportExporter *) lfirst(lc))->found = false;
	foreach(lc, definitions)
		strm_export_refresh_one(session, lfirst(lc));
	foreach(lc, session->exporters)
	{
		StrmExportExporter *exporter = lfirst(lc);

		if (exporter->found)
			continue;
		if (session->current == exporter)
			session->current = NULL;
		strm_exporter_status_forget(&exporter->definition->id);
		session->exporters = foreach_delete_current(session->exporters, lc);
		strm_export_destroy(exporter);
	}
}

/* Room for live numbers of what there is now, unless it is the same as before. */
static void
strm_export_refresh_live(StrmExportSession *session)
{
	bool		same = session->live != NULL && session->nlive == list_length(session->exporters);
	int			npartitions = 0;
	int			n = 0;
	ListCell   *lc;

	foreach(lc, session->exporters)
	{
		StrmExportExporter *exporter = lfirst(lc);

		npartitions += exporter->definition->partitions;
		same = same && exporter->live >= 0;
	}
	if (same)
		return;
	session->nlive = list_length(session->exporters);
	strm_export_live_publish(list_length(session->exporters), npartitions, &session->live, &session->live_partitions);
	npartitions = 0;
	foreach(lc, session->exporters)
	{
		StrmExportExporter *exporter = lfirst(lc);
		StrmExportLive *live = &session->live[n];

		exporter->live = n++;
		live->first = npartitions;
		live->npartitions = exporter->definition->partitions;
		npartitions += live->npartitions;
	}
	strm_export_show(session);
}

/* Definitions that were seen in the WAL are known by now, or were dropped again: nothing has to wait for them. */
static void
strm_export_forget_seen(StrmExportSession *session)
{
	ListCell   *lc;

	foreach(lc, session->seen)
	{
		StrmExportSeen *seen = lfirst(lc);
		StrmExportExporter *exporter = strm_export_find(session, &seen->exporter);

		if (exporter != NULL)
			strm_export_take_seen(exporter, seen);
		session->seen = foreach_delete_current(session->seen, lc);
		pfree(seen);
	}
}

bool
strm_export_refresh(StrmExportSession *session)
{
	uint64		generation = strm_catalog_generation();
	TimestampTz now;
	ListCell   *lc;

	if (session->fresh && generation == session->generation && !session->again && session->seen == NIL)
		return true;
	session->again = false;
	if (!strm_export_refresh_cluster(session))
		return false;
	strm_export_refresh_exporters(session);
	strm_export_forget_seen(session);
	strm_export_map(session);
	strm_export_refresh_live(session);
	session->erased = strm_erased_exist();
	now = GetCurrentTimestamp();
	foreach(lc, session->exporters)
		strm_export_key_destroyed(lfirst(lc), now);
	session->generation = generation;
	session->fresh = true;
	return true;
}
