/*
 * export_sink.c
 *	  Opening the sink of an exporter, and comparing what the topic holds with what is known here.
 *
 *	  Where a topic's last records tell that somebody else publishes there, or that this database is older than what it
 *	  once published (it was restored), the exporter stops: going on would lose or double events silently.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "common/errors.h"
#include "common/uuid.h"
#include "connect/address.h"
#include "export/avro.h"
#include "export/schema_registry.h"
#include "guc/guc.h"
#include "strm_privacy.h"
#include "worker/export_sink.h"
#include "worker/worker.h"

/* Bytes that this exporter may queue: a share of what all may. */
static Size
strm_export_queue_size(const StrmExportExporter *exporter)
{
	if (exporter->definition->is_derived)
		return STRM_EXPORT_QUEUE_DERIVED;
	return Max(STRM_EXPORT_QUEUE / list_length(exporter->session->exporters), STRM_EXPORT_QUEUE_MIN);
}

void
strm_export_sink_config(StrmExportExporter *exporter, StrmSinkConfig *config)
{
	StrmExportSession *session = exporter->session;
	const StrmKafkaExporter *definition = exporter->definition;
	const char *id = strm_uuid_text(&definition->id);
	StrmSinkProperty *properties;
	StrmSinkProperty *all;
	int			n = strm_kafka_properties(session->cluster, &properties);

	memset(config, 0, sizeof(StrmSinkConfig));
	all = palloc((n + 1) * sizeof(StrmSinkProperty));
	memcpy(all, properties, n * sizeof(StrmSinkProperty));
	if (session->broker != NULL)
	{
		all[n].name = "bootstrap.servers";
		all[n].value = session->kind->broker_address(session->broker);
		n++;
	}
	else
		config->refuse = strm_address_refuse;
	config->trusted = session->cluster->trusted;
	config->ca_file = strm_connector_ca_file;
	config->label = psprintf("Kafka exporter \"%s\"", definition->name);
	config->nproperties = n;
	config->properties = all;
	config->topic = pstrdup(definition->topic);
	if (definition->transactional)
		config->transactional_id = psprintf("strm_privacy-%s", id);
	config->owner = psprintf("%s/", id);
	config->queue_size = strm_export_queue_size(exporter);
	if (session->broker == NULL && exporter->status.starts != NULL)
	{
		config->starts = exporter->status.starts;
		config->nstarts = exporter->status.nstarts;
	}
}

/*
 * Makes the schema of the exporter's values known to the registry, once for the worker's life: a registry that is away
 * stops nothing that publishes already. In a transaction.
 */
static void
strm_export_register_schema(StrmExportExporter *exporter)
{
	const StrmKafkaExporter *definition = exporter->definition;
	const StrmStream *stream = strm_catalog_stream(&definition->stream);
	const StrmDerivedStream *derived = NULL;

	if (definition->is_derived)
		derived = strm_catalog_derived_stream(&definition->derived);
	if (stream == NULL || (definition->is_derived && derived == NULL))
		ereport(ERROR,
				errcode(STRM_ERR_UNDEFINED),
				errmsg("the stream was dropped"));
	exporter->schema_id =
		strm_schema_registry_register(exporter->session->cluster, strm_schema_registry_subject(definition->topic),
									  strm_avro_stream_schema(stream, derived));
	exporter->registered = true;
}

/* The broker has the record. Called from within poll. */
static void
strm_export_delivered(void *arg, uint64 cookie, int partition, int64 offset)
{
	StrmExportExporter *exporter = arg;

	if (exporter->definition->transactional)
		strm_progress_taken(exporter->progress, cookie, partition, offset);
	else
	{
		strm_progress_acked(exporter->progress, cookie, partition, offset);
		exporter->status.sent++;
	}
	exporter->changed = true;
	exporter->failures = 0;
	exporter->last_sent = GetCurrentTimestamp();
}

void
strm_export_sink_open(StrmExportExporter *exporter)
{
	StrmExportSession *session = exporter->session;
	StrmSinkConfig config;
	MemoryContext cxt;
	MemoryContext old;

	if (!strm_worker_begin_transaction())
		proc_exit(0);
	if (exporter->definition->format == STRM_EXPORT_AVRO && !exporter->registered)
		strm_export_register_schema(exporter);
	cxt = AllocSetContextCreate(exporter->cxt, "strm_privacy sink", ALLOCSET_SMALL_SIZES);
	exporter->sink_cxt = cxt;
	old = MemoryContextSwitchTo(cxt);
	strm_export_sink_config(exporter, &config);
	exporter->queue_size = config.queue_size;
	exporter->prefix_size = 0;
	if (session->broker != NULL)
		session->kind->broker_topic(session->broker, config.topic, exporter->definition->partitions);
	exporter->sink = session->kind->open(&config, session->wake_fd, strm_export_delivered, exporter);
	MemoryContextSwitchTo(old);
	strm_worker_end_transaction();
}

/* --- what the topic holds --- */

/*
 * Is a position that was found in the topic one that this database can have written? What lies beyond the end of an
 * earlier timeline was published before a failover lost it, and counts as earlier than all of this timeline.
 */
static bool
strm_export_position_is_ours(const StrmExportExporter *exporter, const StrmPosition *position)
{
	if (position->epoch != exporter->status.epoch)
		return position->epoch < exporter->status.epoch;
	if (position->timeline != GetWALInsertionTimeLine())
		return position->timeline < GetWALInsertionTimeLine();
	return position->lsn <= strm_decoder_flushed();
}

/* Takes over the last record of a partition. false: the exporter has failed for it. */
static bool
strm_export_take_tail(StrmExportExporter *exporter, int partition)
{
	const StrmSinkTail *tail = exporter->session->kind->tail(exporter->sink, partition);
	StrmPosition position;
	pg_uuid_t	id;
	bool		readable;

	readable = tail->found && strm_position_read(tail->position, strlen(tail->position), &id, &position) &&
		memcmp(&id, &exporter->definition->id, sizeof(pg_uuid_t)) == 0;
	if ((tail->found && !readable) ||
		(tail->foreign && exporter->status.starts != NULL && !exporter->definition->transactional))
	{
		strm_export_fail(exporter, false, STRM_ERR_STATE,
						 psprintf("topic \"%s\" has records of another writer", exporter->definition->topic),
						 "An exporter that is not transactional needs a topic of its own: it finds its place by its "
						 "last records.");
		return false;
	}
	if (!readable)
		return true;
	if (!strm_export_position_is_ours(exporter, &position))
	{
		strm_export_fail(exporter, false, STRM_ERR_STATE,
						 psprintf("topic \"%s\" has records of this exporter that this database has not written",
								  exporter->definition->topic),
						 "The database was restored, or is a copy of one that publishes. Drop the exporter and create "
						 "one with another topic.");
		return false;
	}
	strm_progress_set_tail(exporter->progress, partition, &position, tail->offset);
	return true;
}

/* Notes where this exporter's records begin, the first time, and when the topic was made anew. */
static void
strm_export_take_starts(StrmExportExporter *exporter)
{
	const StrmSinkKind *kind = exporter->session->kind;
	StrmExporterStatus *status = &exporter->status;
	int			n = exporter->definition->partitions;
	bool		first = status->starts == NULL || status->nstarts != n;

	if (first)
	{
		status->starts = MemoryContextAlloc(exporter->cxt, n * sizeof(int64));
		status->nstarts = n;
	}
	for (int i = 0; i < n; i++)
	{
		const StrmSinkTail *tail = kind->tail(exporter->sink, i);

		if (!first && tail->end >= status->starts[i])
			continue;
		if (!first && exporter->session->broker == NULL)
			ereport(LOG,
					errmsg("topic \"%s\" of Kafka exporter \"%s\" was made anew", exporter->definition->topic,
						   exporter->definition->name));
		status->starts[i] = tail->end;
		if (status->checkpoint_offsets != NULL)
			status->checkpoint_offsets[i] = tail->end;
		exporter->unwritten = true;
	}
}

/*
 * Counts what the topic holds, which is exact where nobody else writes to it: what was counted here may be some seconds
 * old, after a crash.
 */
static void
strm_export_take_count(StrmExportExporter *exporter)
{
	StrmExporterStatus *status = &exporter->status;
	int64		n = 0;

	if (exporter->definition->transactional || exporter->session->broker != NULL)
		return;
	for (int i = 0; i < status->nstarts; i++)
		n += exporter->session->kind->tail(exporter->sink, i)->end - status->starts[i];
	status->sent = Max(status->sent, n);
}

bool
strm_export_sink_ready(StrmExportExporter *exporter)
{
	int			partitions = exporter->session->kind->partitions(exporter->sink);
	int			n = exporter->definition->partitions;

	if (partitions < n)
	{
		strm_export_fail(exporter, false, STRM_ERR_STATE,
						 psprintf("topic \"%s\" has %d partitions, and the exporter was created for %d",
								  exporter->definition->topic, partitions, n),
						 NULL);
		return false;
	}
	strm_progress_reset(exporter->progress);
	for (int i = 0; i < n; i++)
	{
		if (!strm_export_take_tail(exporter, i))
			return false;
	}
	strm_export_take_starts(exporter);
	strm_export_take_count(exporter);
	exporter->ready = true;
	strm_export_existing_begin(exporter);
	return true;
}
