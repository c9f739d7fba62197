/*
 * events.c
 *	  What the client library has to say to a sink: delivery reports, errors, log lines.
 *
 *	  They are taken off its queue as events, not as callbacks, so that no error of ours is thrown through its
 *	  functions.
 *
 *	  When a producer is at its end (a fatal error), the reason comes with the report on the records that could not be
 *	  stored, a little later. We wait for that, but not for long.
 */
#include "postgres.h"

#include <unistd.h>

#include "kafka/sink_private.h"

#define STRM_KAFKA_SERVE_TIME 20	/* milliseconds in one call */
#define STRM_KAFKA_FATAL_TIME 1000	/* milliseconds to wait for a fatal error's reason */
#define STRM_KAFKA_REFUSED_TIME 30000	/* milliseconds of failing authentication that are taken for passing */
#define STRM_KAFKA_LOG_EVERY 300000 /* milliseconds between lines of one kind */
#define STRM_KAFKA_LOG_ERROR 3		/* syslog's LOG_ERR: from there on it is worth a line in the server's log */

/* Is it time for another line of that kind in the log? */
static bool
strm_kafka_log_is_due(StrmSink *sink, const char *facility)
{
	TimestampTz now = GetCurrentTimestamp();
	StrmKafkaLogged *oldest = &sink->logged[0];

	for (int i = 0; i < STRM_KAFKA_FACILITIES; i++)
	{
		StrmKafkaLogged *logged = &sink->logged[i];

		if (strcmp(logged->facility, facility) == 0)
		{
			oldest = logged;
			break;
		}
		if (logged->at < oldest->at)
			oldest = logged;
	}
	if (strcmp(oldest->facility, facility) == 0 &&
		!TimestampDifferenceExceeds(oldest->at, now, STRM_KAFKA_LOG_EVERY))
		return false;
	strlcpy(oldest->facility, facility, sizeof(oldest->facility));
	oldest->at = now;
	return true;
}

/* A log line. */
static void
strm_kafka_serve_log(StrmSink *sink, rd_kafka_event_t *event)
{
	const char *facility;
	const char *words;
	char		text[STRM_KAFKA_MESSAGE_SIZE];
	int			level;

	if (rd_kafka_event_log(event, &facility, &words, &level) != 0 || strm_kafka_has_secret(sink->rk, words))
		return;
	strlcpy(text, words, sizeof(text));
	strm_kafka_plain(text);
	/* Fatal errors become the sink's, with their reason. */
	if (level > STRM_KAFKA_LOG_ERROR || strcmp(facility, "FATAL") == 0 || !strm_kafka_log_is_due(sink, facility))
		ereport(DEBUG1, (errmsg_internal("%s: %s: %s", sink->label, facility, text)));
	else
		ereport(LOG, (errcode(ERRCODE_CONNECTION_FAILURE), errmsg("%s: %s", sink->label, text)));
}

/* An error that is not of a certain record. */
static void
strm_kafka_serve_error(StrmSink *sink, rd_kafka_event_t *event)
{
	rd_kafka_resp_err_t err = rd_kafka_event_error(event);
	StrmKafkaFailure failure;

	if (rd_kafka_event_error_is_fatal(event))
	{
		if (sink->fatal_since == 0)
			sink->fatal_since = GetCurrentTimestamp();
		return;
	}
	/* "All brokers are down" only says that the one before was of the last one. */
	if (sink->state == STRM_SINK_FAILED || (err == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN && sink->failure.sqlstate != 0))
		return;
	strm_kafka_failure_set(&failure, sink->rk, err, rd_kafka_event_error_string(event),
						   "cannot reach the Kafka brokers");
	if (!failure.temporary && !failure.refused)
		return;					/* of a topic, which what is done with it will say, too */
	if (failure.refused && sink->refused_since == 0)
		sink->refused_since = GetCurrentTimestamp();
	sink->failure = failure;
	sink->failure.temporary = true;
}

/* A record was given up. */
static void
strm_kafka_serve_failure(StrmSink *sink, const rd_kafka_message_t *message)
{
	char		doing[400];

	if (sink->state == STRM_SINK_FAILED)
		return;
	switch (message->err)
	{
		case RD_KAFKA_RESP_ERR__FATAL:
		case RD_KAFKA_RESP_ERR__PURGE_QUEUE:
		case RD_KAFKA_RESP_ERR__PURGE_INFLIGHT:
		case RD_KAFKA_RESP_ERR__GAPLESS_GUARANTEE:
			if (sink->transactional && sink->fatal_since == 0)
				strm_kafka_transaction_failed(sink);
			else if (sink->fatal_since == 0)
				sink->fatal_since = GetCurrentTimestamp();
			break;
		default:
			snprintf(doing, sizeof(doing), "cannot write to partition %d of topic \"%s\"", (int) message->partition,
					 sink->topic_name);
			strm_kafka_fail_with(sink, message->err, NULL, doing);
	}
}

/* Records that are stored, or given up. */
static void
strm_kafka_serve_reports(StrmSink *sink, rd_kafka_event_t *event)
{
	TimestampTz now = GetCurrentTimestamp();
	const rd_kafka_message_t *message;

	while ((message = rd_kafka_event_message_next(event)) != NULL)
	{
		StrmKafkaRecord *record = message->_private;
		uint64		cookie = record->cookie;

		strm_kafka_record_done(sink, record, message->partition);
		if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR)
		{
			strm_kafka_serve_failure(sink, message);
			continue;
		}
		/* After a failure the tails say what was stored. */
		if (sink->state == STRM_SINK_FAILED || sink->fatal_since != 0)
			continue;
		sink->partitions[message->partition].primed = true;
		sink->partitions[message->partition].last = now;
		sink->failure.sqlstate = 0;
		sink->refused_since = 0;
		sink->delivered(sink->arg, cookie, message->partition, message->offset);
	}
}

/* One event. */
static void
strm_kafka_serve_event(StrmSink *sink, rd_kafka_event_t *event)
{
	switch (rd_kafka_event_type(event))
	{
		case RD_KAFKA_EVENT_DR:
			strm_kafka_serve_reports(sink, event);
			break;
		case RD_KAFKA_EVENT_ERROR:
			strm_kafka_serve_error(sink, event);
			break;
		case RD_KAFKA_EVENT_LOG:
			strm_kafka_serve_log(sink, event);
			break;
		default:
			break;
	}
}

/* What time makes a failure. */
static void
strm_kafka_serve_time(StrmSink *sink)
{
	TimestampTz now;
	char		words[512];
	rd_kafka_resp_err_t err;

	if (sink->state == STRM_SINK_FAILED || (sink->fatal_since == 0 && sink->refused_since == 0))
		return;
	now = GetCurrentTimestamp();
	/* A token that could not be renewed once, or the like, matters only where something is to be sent. */
	if (sink->state == STRM_SINK_READY && sink->queued == 0 && !sink->in_transaction)
		sink->refused_since = 0;
	if (sink->fatal_since != 0 && TimestampDifferenceExceeds(sink->fatal_since, now, STRM_KAFKA_FATAL_TIME))
	{
		err = rd_kafka_fatal_error(sink->rk, words, sizeof(words));
		if (err != RD_KAFKA_RESP_ERR_NO_ERROR)
			strm_kafka_fail_with(sink, err, words, "the producer cannot go on");
		else if (sink->transactional && sink->ending == NULL)
			strm_kafka_transaction_failed(sink);
		else
			strm_kafka_fail_with(sink, RD_KAFKA_RESP_ERR__FATAL, NULL, "the producer cannot go on");
	}
	else if (sink->refused_since != 0 && sink->failure.refused &&
			 TimestampDifferenceExceeds(sink->refused_since, now, STRM_KAFKA_REFUSED_TIME))
	{
		StrmKafkaFailure failure = sink->failure;

		failure.temporary = false;
		strm_kafka_fail(sink, &failure);
	}
}

void
strm_kafka_serve(StrmSink *sink)
{
	TimestampTz until = GetCurrentTimestamp() + STRM_KAFKA_SERVE_TIME * INT64CONST(1000);

	while ((sink->event = rd_kafka_queue_poll(sink->queue, 0)) != NULL)
	{
		strm_kafka_serve_event(sink, sink->event);
		rd_kafka_event_destroy(sink->event);
		sink->event = NULL;
		if (GetCurrentTimestamp() >= until)
		{
			uint64		one = 1;

			/* There may be more: come back at once. When it is full, that is so anyway. */
			if (write(sink->wake_fd, &one, sizeof(one)) < 0)
				break;
			break;
		}
	}
	strm_kafka_serve_time(sink);
}

bool
strm_kafka_drain(StrmSink *sink, int timeout)
{
	rd_kafka_event_t *event = rd_kafka_queue_poll(sink->queue, timeout);
	const rd_kafka_message_t *message;

	if (event == NULL)
		return false;
	if (rd_kafka_event_type(event) == RD_KAFKA_EVENT_DR)
	{
		while ((message = rd_kafka_event_message_next(event)) != NULL)
			strm_kafka_record_done(sink, message->_private, message->partition);
	}
	rd_kafka_event_destroy(event);
	return true;
}
