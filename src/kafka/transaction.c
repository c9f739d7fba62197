/*
 * transaction.c
 *	  Kafka's transactions. Ending one takes two round trips to a broker, so a task does it.
 *
 *	  A transaction that cannot be committed is not tried again with this producer: the sink has failed, and the next
 *	  one begins behind what was committed.
 */
#include "postgres.h"

#include "kafka/sink_private.h"

#define STRM_KAFKA_ENDING_PAUSE 200 /* milliseconds in one call */

/* The task. */
static void
strm_kafka_ending_run(StrmKafkaTask *task)
{
	StrmKafkaEnding *ending = (StrmKafkaEnding *) task;

	while (strm_kafka_task_pause(task, 0))
	{
		rd_kafka_error_t *error = ending->abort ? rd_kafka_abort_transaction(ending->rk, STRM_KAFKA_ENDING_PAUSE) :
			rd_kafka_commit_transaction(ending->rk, STRM_KAFKA_ENDING_PAUSE);
		bool		again;

		if (error == NULL)
			return;
		/* It goes on by itself, and the next call waits for it. */
		again = rd_kafka_error_is_retriable(error);
		if (!again)
		{
			strm_kafka_failure_set(&ending->failure, ending->rk, rd_kafka_error_code(error),
								   rd_kafka_error_string(error), "cannot commit a transaction");
			/* What may be aborted may be tried again. */
			if (rd_kafka_error_txn_requires_abort(error) && !ending->failure.refused)
				ending->failure.temporary = true;
			ending->failed = true;
		}
		rd_kafka_error_destroy(error);
		if (!again)
			return;
		strm_kafka_task_pause(task, 10);
	}
}

/* Frees the task. */
static void
strm_kafka_ending_free(StrmKafkaTask *task)
{
	free(task);
}

/* Starts to end the transaction. */
static StrmKafkaEnding *
strm_kafka_end(StrmSink *sink, bool abort)
{
	StrmKafkaEnding *ending = calloc(1, sizeof(StrmKafkaEnding));

	if (ending == NULL)
		return NULL;
	ending->task.run = strm_kafka_ending_run;
	ending->task.free = strm_kafka_ending_free;
	ending->task.wake_fd = abort ? -1 : sink->wake_fd;
	ending->rk = sink->rk;
	ending->abort = abort;
	return strm_kafka_task_start(&ending->task) ? ending : NULL;
}

bool
strm_kafka_begin(StrmSink *sink)
{
	rd_kafka_error_t *error;

	if (sink->in_transaction)
		return true;
	error = rd_kafka_begin_transaction(sink->rk);
	sink->in_transaction = error == NULL;
	if (error != NULL)
		strm_kafka_fail_with(sink, rd_kafka_error_code(error), rd_kafka_error_string(error),
							 "cannot begin a transaction");
	rd_kafka_error_destroy(error);
	return sink->in_transaction;
}

StrmSinkResult
strm_kafka_commit(StrmSink *sink)
{
	if (sink->state == STRM_SINK_FAILED)
		return STRM_SINK_REFUSED;
	if (!sink->in_transaction)
		return STRM_SINK_DONE;
	if (sink->ending == NULL)
	{
		/* Reports on records are served by poll, and not while the library waits. */
		if (dlist_is_empty(&sink->records) && sink->fatal_since == 0)
			sink->ending = strm_kafka_end(sink, false);
		return STRM_SINK_AGAIN;
	}
	if (!strm_kafka_task_done(&sink->ending->task))
		return STRM_SINK_AGAIN;
	if (sink->ending->failed)
		strm_kafka_fail(sink, &sink->ending->failure);
	else
		sink->in_transaction = false;
	strm_kafka_task_leave(&sink->ending->task);
	sink->ending = NULL;
	return sink->state == STRM_SINK_FAILED ? STRM_SINK_REFUSED : STRM_SINK_DONE;
}

void
strm_kafka_transaction_failed(StrmSink *sink)
{
	/* It cannot be committed any more, and says why. */
	rd_kafka_error_t *error = rd_kafka_commit_transaction(sink->rk, STRM_KAFKA_ENDING_PAUSE);

	strm_kafka_fail_with(sink, error != NULL ? rd_kafka_error_code(error) : RD_KAFKA_RESP_ERR__STATE,
						 error != NULL ? rd_kafka_error_string(error) : NULL, "the transaction cannot go on");
	rd_kafka_error_destroy(error);
}

void
strm_kafka_abort(StrmSink *sink, int timeout)
{
	StrmKafkaEnding *ending;

	if (!sink->in_transaction || sink->ending != NULL || (ending = strm_kafka_end(sink, true)) == NULL)
		return;
	for (int waited = 0; waited < timeout && !strm_kafka_task_done(&ending->task); waited += 10)
		strm_kafka_drain(sink, 10);
	strm_kafka_task_cancel(&ending->task);
	strm_kafka_task_wait(&ending->task, STRM_KAFKA_FINISHED, STRM_KAFKA_ENDING_PAUSE * 2);
	strm_kafka_task_leave(&ending->task);
}
