/*
 * close.c
 *	  The end of a sink: within two seconds, without errors, from wherever memory contexts are reset.
 *
 *	  A handle's end waits for its threads, one of which may be waiting for a name server, so a task does it. What it
 *	  still refers to then, records among them, is left to that task.
 */
#include "postgres.h"

#include "kafka/sink_private.h"

#define STRM_KAFKA_ABORT_TIME 500	/* milliseconds */
#define STRM_KAFKA_RELEASE_TIME 400
#define STRM_KAFKA_DRAIN_TIME 300
#define STRM_KAFKA_CLOSE_TIME 1900	/* all of it */

/* The end of a handle. */
typedef struct StrmKafkaGrave
{
	StrmKafkaTask task;			/* must be first */
	rd_kafka_t *rk;
	rd_kafka_topic_t *topic;
	rd_kafka_queue_t *queue;
	dlist_head	records;
} StrmKafkaGrave;

/* The task. */
static void
strm_kafka_grave_run(StrmKafkaTask *task)
{
	StrmKafkaGrave *grave = (StrmKafkaGrave *) task;

	rd_kafka_queue_destroy(grave->queue);
	if (grave->topic != NULL)
		rd_kafka_topic_destroy(grave->topic);
	rd_kafka_destroy(grave->rk);
	while (!dlist_is_empty(&grave->records))
	{
		StrmKafkaRecord *record = dlist_container(StrmKafkaRecord, node, dlist_pop_head_node(&grave->records));

		explicit_bzero(record->value, record->value_size);
		free(record);
	}
}

/* Frees the task. */
static void
strm_kafka_grave_free(StrmKafkaTask *task)
{
	free(task);
}

/* The milliseconds until then, one at least. */
static int
strm_kafka_left(TimestampTz until)
{
	return (int) Max((until - GetCurrentTimestamp()) / 1000, 1);
}

/* Ends the handle, and waits for that until then. */
static void
strm_kafka_bury(StrmSink *sink, TimestampTz until)
{
	StrmKafkaGrave *grave = calloc(1, sizeof(StrmKafkaGrave));

	if (grave == NULL)
		return;
	grave->task.run = strm_kafka_grave_run;
	grave->task.free = strm_kafka_grave_free;
	grave->task.wake_fd = -1;
	grave->rk = sink->rk;
	grave->topic = sink->topic;
	grave->queue = sink->queue;
	dlist_init(&grave->records);
	while (!dlist_is_empty(&sink->records))
		dlist_push_tail(&grave->records, dlist_pop_head_node(&sink->records));
	if (!strm_kafka_task_start(&grave->task))
		return;
	strm_kafka_task_wait(&grave->task, STRM_KAFKA_ENDED, strm_kafka_left(until));
	strm_kafka_task_leave(&grave->task);
}

/* Ends tasks that use the handle, and the others at leisure. False: one still uses it. */
static bool
strm_kafka_end_tasks(StrmSink *sink)
{
	bool		released = true;

	if (sink->opener != NULL)
	{
		strm_kafka_task_cancel(&sink->opener->task);
		released = strm_kafka_task_wait(&sink->opener->task, STRM_KAFKA_RELEASED, STRM_KAFKA_RELEASE_TIME);
	}
	if (sink->ending != NULL)
	{
		strm_kafka_task_cancel(&sink->ending->task);
		released = strm_kafka_task_wait(&sink->ending->task, STRM_KAFKA_FINISHED, STRM_KAFKA_RELEASE_TIME) && released;
		strm_kafka_task_leave(&sink->ending->task);
		sink->ending = NULL;
		sink->in_transaction = false;
	}
	return released;
}

void
strm_kafka_close(StrmSink *sink)
{
	TimestampTz until = GetCurrentTimestamp() + STRM_KAFKA_CLOSE_TIME * INT64CONST(1000);

	if (sink->closed)
		return;
	sink->closed = true;
	sink->state = STRM_SINK_FAILED;
	if (sink->rk == NULL)
		return;
	if (sink->event != NULL)
		rd_kafka_event_destroy(sink->event);
	sink->event = NULL;
	rd_kafka_queue_io_event_enable(sink->queue, -1, NULL, 0);
	rd_kafka_purge(sink->rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_NON_BLOCKING);
	if (strm_kafka_end_tasks(sink))
	{
		strm_kafka_abort(sink, STRM_KAFKA_ABORT_TIME);
		rd_kafka_purge(sink->rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT | RD_KAFKA_PURGE_F_NON_BLOCKING);
		for (int waited = 0; waited < STRM_KAFKA_DRAIN_TIME && !dlist_is_empty(&sink->records); waited += 10)
			strm_kafka_drain(sink, 10);
		strm_kafka_bury(sink, until);
	}
	/* Otherwise the handle stays as it is, with nothing to send, until the process ends. */
	sink->rk = NULL;
	/* A process had better not end while one of its threads tidies up. */
	if (sink->opener != NULL)
	{
		strm_kafka_task_wait(&sink->opener->task, STRM_KAFKA_ENDED, strm_kafka_left(until));
		strm_kafka_task_leave(&sink->opener->task);
		sink->opener = NULL;
	}
}
