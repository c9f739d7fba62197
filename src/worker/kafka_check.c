/*
 * kafka_check.c
 *	  Checking a topic: the session's side and the worker's.
 *
 *	  A segment of dynamic shared memory holds the question, then the answer. Secrets are in it as they are in the
 *	  registry: wrapped; the worker unwraps them in its own memory. The worker writes the answer before it says that
 *	  there is one, and ends; the session waits for its end.
 *
 *	  The session's mapping is detached however its wait ends, be it by an error or the end of the process, and that
 *	  terminates a worker which is still there.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "port/atomics.h"
#include "storage/dsm.h"
#include "storage/ipc.h"
#include "utils/guc.h"
#include "utils/memutils.h"

#include "common/errors.h"
#include "common/uuid.h"
#include "connect/address.h"
#include "guc/guc.h"
#include "strm_privacy.h"
#include "worker/export_slot.h"
#include "worker/kafka_check.h"
#include "worker/sink_library.h"
#include "worker/worker.h"

#define STRM_CHECK_TEXT_SIZE 2048
#define STRM_CHECK_QUEUE_SIZE (1024 * 1024)

/* What follows the segment's beginning, each aligned. */
enum
{
	CHECK_NAME, CHECK_SERVERS, CHECK_TOPIC, CHECK_CONFIG, CHECK_CREDENTIALS, CHECK_NPARTS
};

/* A segment. */
typedef struct StrmKafkaCheck
{
	/* the question */
	StrmKafkaCluster cluster;	/* its pointers mean nothing here */
	int			partitions;
	bool		transactional;
	Size		sizes[CHECK_NPARTS];	/* 0: NULL */
	/* the answer */
	pg_atomic_uint32 answered;
	int			sqlstate;		/* 0: the topic can be written to */
	char		message[STRM_CHECK_TEXT_SIZE];
	char		detail[STRM_CHECK_TEXT_SIZE];	/* empty: none */
	char		hint[STRM_CHECK_TEXT_SIZE];
	StrmSinkTopic topic;
} StrmKafkaCheck;

/* What the session knows of its worker; in TopMemoryContext, until the segment is detached. */
typedef struct StrmKafkaCheckWorker
{
	StrmSlotRef slot;
	BackgroundWorkerHandle *handle;
} StrmKafkaCheckWorker;

/* --- the segment --- */

/* Where a part begins. */
static Size
strm_kafka_check_offset(const Size *sizes, int part)
{
	Size		offset = MAXALIGN(sizeof(StrmKafkaCheck));

	for (int i = 0; i < part; i++)
		offset = add_size(offset, MAXALIGN(sizes[i]));
	return offset;
}

/* A part, copied into the current context; NULL when it is not there. */
static void *
strm_kafka_check_part(const StrmKafkaCheck *check, int part)
{
	Size		size = check->sizes[part];
	void	   *copy;

	if (size == 0)
		return NULL;
	copy = palloc(size);
	memcpy(copy, (const char *) check + strm_kafka_check_offset(check->sizes, part), size);
	return copy;
}

/* Makes the segment with the question in it. */
static dsm_segment *
strm_kafka_check_ask(const StrmKafkaCluster *cluster, const char *topic, int partitions, bool transactional)
{
	const void *parts[CHECK_NPARTS] = {cluster->name, cluster->bootstrap_servers, topic, cluster->config,
	cluster->credentials};
	Size		sizes[CHECK_NPARTS] = {strlen(cluster->name) + 1, strlen(cluster->bootstrap_servers) + 1,
		strlen(topic) + 1, VARSIZE(cluster->config), cluster->credentials == NULL ? 0 : VARSIZE(cluster->credentials)};
	dsm_segment *segment = dsm_create(strm_kafka_check_offset(sizes, CHECK_NPARTS), 0);
	StrmKafkaCheck *check = dsm_segment_address(segment);

	memset(check, 0, sizeof(StrmKafkaCheck));
	check->cluster = *cluster;
	check->partitions = partitions;
	check->transactional = transactional;
	pg_atomic_init_u32(&check->answered, 0);
	memcpy(check->sizes, sizes, sizeof(sizes));
	for (int i = 0; i < CHECK_NPARTS; i++)
	{
		if (sizes[i] > 0)
			memcpy((char *) check + strm_kafka_check_offset(sizes, i), parts[i], sizes[i]);
	}
	return segment;
}

/* --- the session --- */

/* The segment is being detached: nobody waits for the worker any more. Does nothing to one that has ended. */
static void
strm_kafka_check_detached(dsm_segment *segment, Datum arg)
{
	StrmKafkaCheckWorker *worker = (StrmKafkaCheckWorker *) DatumGetPointer(arg);

	if (worker->handle != NULL)
	{
		TerminateBackgroundWorker(worker->handle);
		pfree(worker->handle);
	}
	strm_export_slot_unreserve(&worker->slot);
	pfree(worker);
}

static void
strm_kafka_check_no_room(void)
{
	ereport(ERROR,
			errcode(STRM_ERR_WORKERS),
			errmsg("there is no room for a background worker to check the topic"),
			errhint("Raise max_worker_processes, or try again when batch jobs have ended."));
}

/* Starts the worker, which ends when the segment is detached at the latest. */
static BackgroundWorkerHandle *
strm_kafka_check_start(dsm_segment *segment)
{
	StrmKafkaCheck *check = dsm_segment_address(segment);
	StrmKafkaCheckWorker *worker = MemoryContextAllocZero(TopMemoryContext, sizeof(StrmKafkaCheckWorker));
	MemoryContext old;
	bool		started;

	if (!strm_export_slot_reserve_check(&check->cluster.id, dsm_segment_handle(segment), &worker->slot))
	{
		pfree(worker);
		strm_kafka_check_no_room();
	}
	on_dsm_detach(segment, strm_kafka_check_detached, PointerGetDatum(worker));
	old = MemoryContextSwitchTo(TopMemoryContext);
	started = strm_worker_start(STRM_WORKER_KAFKA_CHECK, "strm_worker_kafka_check_main", &worker->slot,
								&worker->handle);
	MemoryContextSwitchTo(old);
	if (!started)
	{
		worker->handle = NULL;
		strm_kafka_check_no_room();
	}
	return worker->handle;
}

/* The worker has ended: raises what it found wrong, or that it said nothing. */
static void
strm_kafka_check_raise(StrmKafkaCheck *check)
{
	if (pg_atomic_read_u32(&check->answered) == 0)
		ereport(ERROR,
				errcode(STRM_ERR_LOST),
				errmsg("the background worker that checked the topic ended without an answer"),
				errhint("The server's log may say why."));
	pg_read_barrier();
	if (check->sqlstate == 0)
		return;
	ereport(ERROR,
			errcode(check->sqlstate),
			errmsg("%s", check->message),
			check->detail[0] != '\0' ? errdetail("%s", check->detail) : 0,
			check->hint[0] != '\0' ? errhint("%s", check->hint) : 0);
}

void
strm_kafka_check(const StrmKafkaCluster *cluster, const char *topic, int partitions, bool transactional,
				 StrmSinkTopic *result)
{
	dsm_segment *segment;
	StrmKafkaCheck *check;

	memset(result, 0, sizeof(StrmSinkTopic));
	result->partitions = partitions;
	if (cluster->embedded)
		return;
	if (!strm_state_ready())
		ereport(ERROR,
				errcode(STRM_ERR_STATE),
				errmsg("Kafka clusters need background workers, which this server does not have"),
				errhint("Add strm_privacy to shared_preload_libraries and restart the server."));
	segment = strm_kafka_check_ask(cluster, topic, partitions, transactional);
	check = dsm_segment_address(segment);
	if (WaitForBackgroundWorkerShutdown(strm_kafka_check_start(segment)) == BGWH_POSTMASTER_DIED)
		ereport(FATAL,
				errcode(STRM_ERR_TERMINATED),
				errmsg("the server has ended"));
	strm_kafka_check_raise(check);
	*result = check->topic;
	dsm_detach(segment);
}

/* --- the worker --- */

/* Copies the question into the current context. */
static StrmKafkaCluster *
strm_kafka_check_cluster(const StrmKafkaCheck *check)
{
	StrmKafkaCluster *cluster = palloc(sizeof(StrmKafkaCluster));

	*cluster = check->cluster;
	cluster->name = strm_kafka_check_part(check, CHECK_NAME);
	cluster->bootstrap_servers = strm_kafka_check_part(check, CHECK_SERVERS);
	cluster->config = strm_kafka_check_part(check, CHECK_CONFIG);
	cluster->credentials = strm_kafka_check_part(check, CHECK_CREDENTIALS);
	return cluster;
}

/*
 * Properties of the sink. The transaction in which secrets are unwrapped is over when the broker is asked: that may
 * take a while.
 */
static void
strm_kafka_check_configure(const StrmKafkaCheck *check, StrmSinkConfig *config)
{
	StrmKafkaCluster *cluster = strm_kafka_check_cluster(check);
	MemoryContext cxt = CurrentMemoryContext;
	StrmSinkProperty *properties;

	memset(config, 0, sizeof(StrmSinkConfig));
	config->label = psprintf("Kafka cluster \"%s\"", cluster->name);
	config->topic = strm_kafka_check_part(check, CHECK_TOPIC);
	config->owner = "";
	config->queue_size = STRM_CHECK_QUEUE_SIZE;
	config->refuse = strm_address_refuse;
	config->trusted = cluster->trusted;
	config->ca_file = strm_connector_ca_file;
	if (check->transactional)
		config->transactional_id = psprintf("strm_privacy_check_%s", strm_uuid_text(&cluster->id));

	if (!strm_worker_begin_transaction())
		ereport(ERROR,
				errcode(STRM_ERR_STATE),
				errmsg("the extension was created in this transaction, or is being dropped"),
				errhint("Commit first."));
	MemoryContextSwitchTo(cxt);
	config->nproperties = strm_kafka_properties(cluster, &properties);
	config->properties = properties;
	strm_worker_end_transaction();
	MemoryContextSwitchTo(cxt);
}

/* Writes the answer that an error is. */
static void
strm_kafka_check_failed(StrmKafkaCheck *check, const ErrorData *edata)
{
	bool		safe = strm_errors_are_ours(edata) || strm_errors_message_is_safe(edata);

	check->sqlstate = edata->sqlerrcode;
	strlcpy(check->message, safe ? edata->message : "the check failed with an error whose message is withheld",
			STRM_CHECK_TEXT_SIZE);
	if (safe && edata->detail != NULL)
		strlcpy(check->detail, edata->detail, STRM_CHECK_TEXT_SIZE);
	if (safe && edata->hint != NULL)
		strlcpy(check->hint, edata->hint, STRM_CHECK_TEXT_SIZE);
}

/* Asks the broker, in a context of its own, which is deleted with the secrets in it. */
static void
strm_kafka_check_work(StrmKafkaCheck *check)
{
	MemoryContext cxt = AllocSetContextCreate(TopMemoryContext, "strm_privacy Kafka check", ALLOCSET_DEFAULT_SIZES);
	StrmSinkConfig config;

	MemoryContextSwitchTo(cxt);
	PG_TRY();
	{
		strm_kafka_check_configure(check, &config);
		strm_sink_library()->check(&config, check->partitions, strm_connector_timeout * 1000, &check->topic);
	}
	PG_CATCH();
	{
		ErrorData  *edata;

		HOLD_INTERRUPTS();
		MemoryContextSwitchTo(TopMemoryContext);
		edata = CopyErrorData();
		FlushErrorState();
		strm_kafka_check_failed(check, edata);
		RESUME_INTERRUPTS();
	}
	PG_END_TRY();
	pg_write_barrier();
	pg_atomic_write_u32(&check->answered, 1);
	MemoryContextSwitchTo(TopMemoryContext);
	MemoryContextDelete(cxt);
}

void
strm_worker_kafka_check_main(Datum main_arg)
{
	StrmSlotRef slot = strm_worker_slot(main_arg);
	pg_uuid_t	cluster;
	Oid			database;
	dsm_segment *segment;

	strm_worker_begin();
	if (!strm_export_slot_attach(&slot, &cluster, &database))
		proc_exit(0);
	strm_worker_connect(database, STRM_WORKER_KAFKA_CHECK);
	/* the session that waits may hold locks, and nobody would notice the deadlock */
	SetConfigOption("lock_timeout", psprintf("%ds", strm_connector_timeout), PGC_USERSET, PGC_S_SESSION);
	segment = dsm_attach(strm_export_slot_request());
	/* else the session is gone */
	if (segment != NULL)
	{
		strm_worker_report("checking a Kafka topic");
		strm_kafka_check_work(dsm_segment_address(segment));
	}
	proc_exit(0);
}
