/*
 * sink.c
 *	  Sinks: opening, polling, failing. See export/sink.h. And the library's entry point.
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/memutils.h"

#include "kafka/sink_private.h"

PG_MODULE_MAGIC;

extern PGDLLEXPORT const StrmSinkKind *strm_kafka_sink(void);

/* Shows the failure to the caller. */
static void
strm_kafka_show(StrmSink *sink)
{
	sink->error.sqlstate = sink->failure.sqlstate;
	sink->error.message = sink->failure.message;
	sink->error.hint = sink->failure.hint;
	sink->error.temporary = sink->failure.temporary;
}

void
strm_kafka_fail(StrmSink *sink, const StrmKafkaFailure *failure)
{
	if (sink->state == STRM_SINK_FAILED)
		return;
	sink->failure = *failure;
	/* A broker that just starts may not know a topic yet. Whoever opens the next sink looks twice. */
	if (sink->state == STRM_SINK_READY && failure->sqlstate == ERRCODE_UNDEFINED_FILE)
		sink->failure.temporary = true;
	sink->state = STRM_SINK_FAILED;
	strm_kafka_show(sink);
	/* What waits is not sent any more. What was sent may be stored; the tails will say. */
	rd_kafka_purge(sink->rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_NON_BLOCKING);
}

void
strm_kafka_fail_with(StrmSink *sink, rd_kafka_resp_err_t err, const char *words, const char *doing)
{
	StrmKafkaFailure failure;

	strm_kafka_failure_set(&failure, sink->rk, err, words, doing);
	strm_kafka_fail(sink, &failure);
}

/* The sink's memory goes. */
static void
strm_kafka_on_reset(void *arg)
{
	strm_kafka_close(arg);
}

/* Starts the producer. What is made belongs to the sink at once, so that an error leaves nothing behind. */
static void
strm_kafka_start(StrmSink *sink, const StrmSinkConfig *config)
{
	uint64		one = 1;

	sink->rk = strm_kafka_producer(config);
	sink->queue = rd_kafka_queue_get_main(sink->rk);
	if (rd_kafka_set_log_queue(sink->rk, sink->queue) != RD_KAFKA_RESP_ERR_NO_ERROR)
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("%s: librdkafka gives no log", config->label)));
	rd_kafka_queue_io_event_enable(sink->queue, sink->wake_fd, &one, sizeof(one));
	sink->topic = rd_kafka_topic_new(sink->rk, config->topic, NULL);
	if (sink->topic == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s: librdkafka takes no topic of that name", config->label)));
	sink->opener = strm_kafka_opener_start(config, sink->transactional ? sink->rk : NULL, true, sink->wake_fd);
}

/* StrmSinkKind's open. */
static StrmSink *
strm_kafka_open(const StrmSinkConfig *config, int wake_fd, StrmSinkDelivered delivered, void *arg)
{
	StrmSink   *sink = palloc0(sizeof(StrmSink));

	sink->cxt = CurrentMemoryContext;
	sink->label = pstrdup(config->label);
	sink->topic_name = pstrdup(config->topic);
	sink->transactional = config->transactional_id != NULL;
	sink->queue_size = config->queue_size;
	sink->wake_fd = wake_fd;
	sink->delivered = delivered;
	sink->arg = arg;
	sink->state = STRM_SINK_OPENING;
	dlist_init(&sink->records);
	sink->on_reset.func = strm_kafka_on_reset;
	sink->on_reset.arg = sink;
	MemoryContextRegisterResetCallback(sink->cxt, &sink->on_reset);
	PG_TRY();
	{
		strm_kafka_start(sink, config);
	}
	PG_CATCH();
	{
		strm_kafka_close(sink);
		PG_RE_THROW();
	}
	PG_END_TRY();
	return sink;
}

/* Takes over what the opener found. */
static void
strm_kafka_opened(StrmSink *sink, const StrmKafkaOpener *opener)
{
	int			n = opener->bounds.npartitions;

	sink->tails = MemoryContextAllocZero(sink->cxt, n * sizeof(StrmSinkTail));
	sink->partitions = MemoryContextAllocZero(sink->cxt, n * sizeof(StrmKafkaPartition));
	for (int i = 0; i < n; i++)
	{
		const StrmKafkaTail *tail = &opener->tails[i];

		sink->tails[i].end = opener->bounds.end[i];
		sink->tails[i].found = tail->found;
		sink->tails[i].foreign = tail->foreign;
		sink->tails[i].offset = tail->offset;
		sink->tails[i].position = MemoryContextStrdup(sink->cxt, tail->position);
	}
	sink->npartitions = n;
	sink->failure.sqlstate = 0;
	sink->refused_since = 0;
	sink->state = STRM_SINK_READY;
}

/* Goes on with opening. */
static void
strm_kafka_go_on(StrmSink *sink)
{
	StrmKafkaFailure failure;

	strm_kafka_opener_failure(sink->opener, &failure);
	if (!strm_kafka_task_done(&sink->opener->task))
	{
		/* The producer's words say more of a connection than that nobody answers. */
		if (failure.sqlstate != 0 && (sink->failure.sqlstate == 0 || failure.sqlstate != ERRCODE_CONNECTION_FAILURE))
			sink->failure = failure;
		return;
	}
	if (sink->opener->failed)
		strm_kafka_fail(sink, &failure);
	else
		strm_kafka_opened(sink, sink->opener);
}

/* StrmSinkKind's poll. */
static StrmSinkState
strm_kafka_poll(StrmSink *sink)
{
	if (sink->closed)
		return STRM_SINK_FAILED;
	strm_kafka_serve(sink);
	if (sink->state == STRM_SINK_OPENING)
		strm_kafka_go_on(sink);
	return sink->state;
}

/* StrmSinkKind's error. Without anything to send or to do no trouble is one. */
static const StrmSinkError *
strm_kafka_error(StrmSink *sink)
{
	if (sink->failure.sqlstate == 0 ||
		(sink->state == STRM_SINK_READY && sink->queued == 0 && !sink->in_transaction))
		return NULL;
	strm_kafka_show(sink);
	return &sink->error;
}

/* StrmSinkKind's partitions. */
static int
strm_kafka_partitions(StrmSink *sink)
{
	return sink->npartitions;
}

/* StrmSinkKind's tail. */
static const StrmSinkTail *
strm_kafka_tail(StrmSink *sink, int partition)
{
	return &sink->tails[partition];
}

/* StrmSinkKind's queued. */
static Size
strm_kafka_queued(StrmSink *sink)
{
	return sink->queued;
}

static const StrmSinkKind strm_kafka_kind = {
	.open = strm_kafka_open,
	.poll = strm_kafka_poll,
	.error = strm_kafka_error,
	.partitions = strm_kafka_partitions,
	.tail = strm_kafka_tail,
	.produce = strm_kafka_produce,
	.queued = strm_kafka_queued,
	.commit = strm_kafka_commit,
	.close = strm_kafka_close,
	.check = strm_kafka_check_topic,
	.scan = strm_kafka_scan,
	.broker_start = strm_kafka_broker_start,
	.broker_address = strm_kafka_broker_address,
	.broker_topic = strm_kafka_broker_topic,
	.broker_stop = strm_kafka_broker_stop
};

/* StrmSinkFunction. */
const StrmSinkKind *
strm_kafka_sink(void)
{
	return &strm_kafka_kind;
}
