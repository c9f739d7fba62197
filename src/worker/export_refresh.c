/*
 * export_refresh.c
 *	  What a session knows of definitions: the cluster, its exporters, and which tables they want.
 *
 *	  Tables are known by OID. A partition that was made since the last look is found by its ancestors; a table that is
 *	  none of ours is remembered as that until something happens to it.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/partition.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "miscadmin.h"
#include "storage/lockdefs.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

#include "catalog/cache.h"
#include "common/errors.h"
#include "export/erased.h"
#include "strm_privacy.h"
#include "worker/export_private.h"

/* --- tables --- */

/* Something happened to a table: it may be a partition of ours now. Only marks. */
static void
strm_export_relation_changed(Datum arg, Oid relid)
{
	StrmExportSession *session = (StrmExportSession *) DatumGetPointer(arg);
	HASH_SEQ_STATUS scan;
	StrmExportRelation *relation;

	if (session->relations == NULL)
		return;
	if (OidIsValid(relid))
	{
		relation = hash_search(session->relations, &relid, HASH_FIND, NULL);
		if (relation != NULL)
			relation->unsure = true;
		return;
	}
	hash_seq_init(&scan, session->relations);
	while ((relation = hash_seq_search(&scan)) != NULL)
		relation->unsure = true;
}

/* A table of a stream that is published, or (none) one that is not. */
static StrmExportRelation *
strm_export_add_relation(StrmExportSession *session, Oid relid, const StrmExportRelation *root)
{
	StrmExportRelation *relation = hash_search(session->relations, &relid, HASH_ENTER, NULL);

	relation->stream = root ? root->stream : InvalidOid;
	relation->nexporters = root ? root->nexporters : 0;
	relation->exporters = root ? root->exporters : NULL;
	relation->unsure = false;
	return relation;
}

/* The stream's entry with all its exporters, and one for each of its partitions. */
static void
strm_export_map_stream(StrmExportSession *session, Oid stream)
{
	MemoryContext old = MemoryContextSwitchTo(session->map_cxt);
	StrmExportRelation root = {.stream = stream};
	List	   *tables;
	ListCell   *lc;

	root.exporters = palloc(list_length(session->exporters) * sizeof(StrmExportExporter *));
	foreach(lc, session->exporters)
	{
		StrmExportExporter *exporter = lfirst(lc);

		if (exporter->stream == stream)
			root.exporters[root.nexporters++] = exporter;
	}
	tables = find_all_inheritors(stream, NoLock, NULL);
	foreach(lc, tables)
		strm_export_add_relation(session, lfirst_oid(lc), &root);
	MemoryContextSwitchTo(old);
}

/* Builds the map of tables anew. */
static void
strm_export_map(StrmExportSession *session)
{
	HASHCTL		control = {.keysize = sizeof(Oid), .entrysize = sizeof(StrmExportRelation)};
	ListCell   *lc;

	if (session->map_cxt == NULL)
	{
		session->map_cxt = AllocSetContextCreate(session->cxt, "strm_privacy exported tables", ALLOCSET_SMALL_SIZES);
		CacheRegisterRelcacheCallback(strm_export_relation_changed, PointerGetDatum(session));
	}
	session->relations = NULL;
	MemoryContextReset(session->map_cxt);
	control.hcxt = session->map_cxt;
	session->relations = hash_create("strm_privacy exported tables", 64, &control,
									 HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	session->definitions = strm_catalog_table(STRM_TABLE_KAFKA_EXPORTER);
	foreach(lc, session->exporters)
	{
		Oid			stream = ((StrmExportExporter *) lfirst(lc))->stream;

		if (OidIsValid(stream) && hash_search(session->relations, &stream, HASH_FIND, NULL) == NULL)
			strm_export_map_stream(session, stream);
	}
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

/* Called while decoding: a table that is not known and may be a partition of ours is wanted, to have a closer look. */
bool
strm_export_wanted(void *arg, Oid relid)
{
	StrmExportSession *session = arg;
	StrmExportRelation *relation;

	if (relid == session->definitions)
		return true;
	relation = hash_search(session->relations, &relid, HASH_FIND, NULL);
	if (relation == NULL || (relation->unsure && !OidIsValid(relation->stream)))
		return strm_export_is_partition(relid);
	return OidIsValid(relation->stream);
}

StrmExportRelation *
strm_export_relation(StrmExportSession *session, Oid relid)
{
	StrmExportRelation *relation = hash_search(session->relations, &relid, HASH_FIND, NULL);
	ListCell   *lc;

	if (relation != NULL && (OidIsValid(relation->stream) || !relation->unsure))
		return relation;
	relation = NULL;
	if (strm_export_is_partition(relid))
	{
		/* the stream may be a partition of something larger itself */
		foreach(lc, get_partition_ancestors(relid))
		{
			relation = hash_search(session->relations, &lfirst_oid(lc), HASH_FIND, NULL);
			if (relation != NULL && OidIsValid(relation->stream))
				break;
			relation = NULL;
		}
	}
	if (relation != NULL)
	{
		StrmExportRelation root = *relation;

		return strm_export_add_relation(session, relid, &root);
	}
	return strm_export_add_relation(session, relid, NULL);
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
