/*
 * reader.c
 *	  Reading a topic: how far it goes, and its records.
 *
 *	  Partitions are read by number, without a group, so no right on any group is needed.
 */
#include "postgres.h"

#include "kafka/reader.h"
#include "strm_privacy.h"

#define STRM_KAFKA_MISSING_TRIES 50 /* nor a new topic, nor an old one to a broker that starts, is known at once */
#define STRM_KAFKA_STEP_TIME 1000	/* milliseconds */

bool
strm_kafka_bounds_open(StrmKafkaBounds *bounds, rd_kafka_conf_t *conf, const char *topic)
{
	memset(bounds, 0, sizeof(StrmKafkaBounds));
	bounds->rk = strm_kafka_new(conf, STRM_KAFKA_SCOUT, &bounds->failure);
	if (bounds->rk == NULL)
		return false;
	bounds->topic = rd_kafka_topic_new(bounds->rk, topic, NULL);
	if (bounds->topic != NULL)
		return true;
	strm_kafka_failure_set(&bounds->failure, bounds->rk, rd_kafka_last_error(), NULL, "cannot look up the topic");
	return false;
}

/* Says what a topic's bounds could not be had for. */
static StrmKafkaStep
strm_kafka_bounds_failed(StrmKafkaBounds *bounds, rd_kafka_resp_err_t err)
{
	char		doing[300];

	snprintf(doing, sizeof(doing), "cannot look up topic \"%s\"", rd_kafka_topic_name(bounds->topic));
	strm_kafka_failure_set(&bounds->failure, bounds->rk, err, NULL, doing);
	if (bounds->failure.sqlstate == ERRCODE_UNDEFINED_FILE && ++bounds->missing < STRM_KAFKA_MISSING_TRIES)
		return STRM_KAFKA_AGAIN;
	return bounds->failure.temporary ? STRM_KAFKA_AGAIN : STRM_KAFKA_FAILED;
}

/* Asks how many partitions there are. */
static StrmKafkaStep
strm_kafka_bounds_count(StrmKafkaBounds *bounds)
{
	const struct rd_kafka_metadata *metadata;
	rd_kafka_resp_err_t err = rd_kafka_metadata(bounds->rk, 0, bounds->topic, &metadata,
												STRM_KAFKA_STEP_TIME);

	if (err != RD_KAFKA_RESP_ERR_NO_ERROR)
		return strm_kafka_bounds_failed(bounds, err);
	err = metadata->topic_cnt == 1 ? metadata->topics[0].err : RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
	if (err == RD_KAFKA_RESP_ERR_NO_ERROR && metadata->topics[0].partition_cnt == 0)
		err = RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE;
	if (err == RD_KAFKA_RESP_ERR_NO_ERROR)
	{
		bounds->first = calloc(metadata->topics[0].partition_cnt, sizeof(int64));
		bounds->end = calloc(metadata->topics[0].partition_cnt, sizeof(int64));
		if (bounds->first != NULL && bounds->end != NULL)
			bounds->npartitions = metadata->topics[0].partition_cnt;
		else
			err = RD_KAFKA_RESP_ERR__CRIT_SYS_RESOURCE;
	}
	rd_kafka_metadata_destroy(metadata);
	if (err != RD_KAFKA_RESP_ERR_NO_ERROR)
		return strm_kafka_bounds_failed(bounds, err);
	bounds->failure.sqlstate = 0;
	return STRM_KAFKA_AGAIN;
}

StrmKafkaStep
strm_kafka_bounds_step(StrmKafkaBounds *bounds)
{
	rd_kafka_resp_err_t err;

	if (bounds->npartitions == 0)
		return strm_kafka_bounds_count(bounds);
	err = rd_kafka_query_watermark_offsets(bounds->rk, rd_kafka_topic_name(bounds->topic), bounds->known,
										   &bounds->first[bounds->known], &bounds->end[bounds->known],
										   STRM_KAFKA_STEP_TIME);
	if (err != RD_KAFKA_RESP_ERR_NO_ERROR)
		return strm_kafka_bounds_failed(bounds, err);
	bounds->failure.sqlstate = 0;
	bounds->known++;
	return bounds->known == bounds->npartitions ? STRM_KAFKA_DONE : STRM_KAFKA_AGAIN;
}

/* Does that error answer the question whether there is such an offset? What is wrong for good, readers will say. */
static bool
strm_kafka_bounds_refuses(StrmKafkaBounds *bounds, rd_kafka_resp_err_t err)
{
	if (err == RD_KAFKA_RESP_ERR_NO_ERROR || err == RD_KAFKA_RESP_ERR__PARTITION_EOF)
		return false;
	if (err == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET || err == RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE)
		return true;
	strm_kafka_failure_set(&bounds->failure, bounds->rk, err, NULL, "cannot read the topic");
	return !bounds->failure.temporary;
}

/* Counts partitions that say that there is no such offset; the ones that are left after timeout ms do not. */
static int
strm_kafka_bounds_refusals(StrmKafkaBounds *bounds, rd_kafka_queue_t *queue, int n, int timeout)
{
	const int	step = 20;
	int			refused = 0;

	for (int waited = 0; waited < timeout && refused < n; waited += step)
	{
		rd_kafka_message_t *message;

		while (refused < n && (message = rd_kafka_consume_queue(queue, step)) != NULL)
		{
			refused += strm_kafka_bounds_refuses(bounds, message->err) ? 1 : 0;
			rd_kafka_message_destroy(message);
		}
	}
	return refused;
}

/*
 * A leader answers a request for an offset beyond its log with an error, and one beyond what its replicas have with
 * nothing.
 */
bool
strm_kafka_bounds_beyond(StrmKafkaBounds *bounds, int timeout, bool *beyond)
{
	rd_kafka_queue_t *queue = rd_kafka_queue_new(bounds->rk);
	int			n = 0;

	while (n < bounds->npartitions &&
		   rd_kafka_consume_start_queue(bounds->topic, n, bounds->end[n] + 1, queue) == 0)
		n++;
	*beyond = true;
	if (n < bounds->npartitions)
		strm_kafka_failure_set(&bounds->failure, bounds->rk, rd_kafka_last_error(), NULL, "cannot read the topic");
	else if (strm_kafka_bounds_refusals(bounds, queue, n, timeout) == n)
	{
		*beyond = false;
		bounds->failure.sqlstate = 0;
	}
	else
		strm_kafka_failure_say(&bounds->failure, ERRCODE_OBJECT_IN_USE, true, NULL,
							   "the brokers have records that are not replicated yet");
	for (int i = 0; i < n; i++)
		rd_kafka_consume_stop(bounds->topic, i);
	rd_kafka_queue_destroy(queue);
	return n == bounds->npartitions;
}

void
strm_kafka_bounds_close(StrmKafkaBounds *bounds)
{
	if (bounds->topic != NULL)
		rd_kafka_topic_destroy(bounds->topic);
	if (bounds->rk != NULL)
		rd_kafka_destroy(bounds->rk);
	bounds->topic = NULL;
	bounds->rk = NULL;
}

void
strm_kafka_bounds_free(StrmKafkaBounds *bounds)
{
	free(bounds->first);
	free(bounds->end);
	bounds->first = bounds->end = NULL;
}

bool
strm_kafka_reader_open(StrmKafkaReader *reader, rd_kafka_conf_t *conf, const char *topic)
{
	memset(reader, 0, sizeof(StrmKafkaReader));
	reader->rk = strm_kafka_new(conf, STRM_KAFKA_READER, &reader->failure);
	if (reader->rk == NULL)
		return false;
	reader->topic = rd_kafka_topic_new(reader->rk, topic, NULL);
	reader->queue = rd_kafka_queue_new(reader->rk);
	if (reader->topic == NULL || reader->queue == NULL)
	{
		strm_kafka_failure_set(&reader->failure, reader->rk, rd_kafka_last_error(), NULL, "cannot read the topic");
		return false;
	}
	return true;
}

bool
strm_kafka_reader_start(StrmKafkaReader *reader, int partition, int64 offset)
{
	if (rd_kafka_consume_start_queue(reader->topic, partition, offset, reader->queue) == 0)
		return true;
	strm_kafka_failure_set(&reader->failure, reader->rk, rd_kafka_last_error(), NULL, "cannot read the topic");
	return false;
}

void
strm_kafka_reader_stop(StrmKafkaReader *reader, int partition)
{
	rd_kafka_consume_stop(reader->topic, partition);
}

const rd_kafka_message_t *
strm_kafka_reader_next(StrmKafkaReader *reader, int timeout, int64 *end, bool *failed)
{
	rd_kafka_message_t *message;
	char		doing[300];

	*end = -1;
	*failed = false;
	if (reader->message != NULL)
		rd_kafka_message_destroy(reader->message);
	rd_kafka_poll(reader->rk, 0);
	message = reader->message = rd_kafka_consume_queue(reader->queue, timeout);
	if (message == NULL)
		return NULL;
	if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF)
		*end = message->offset;
	if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR || message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF)
	{
		reader->failure.sqlstate = 0;
		return message;
	}
	snprintf(doing, sizeof(doing), "cannot read topic \"%s\"", rd_kafka_topic_name(reader->topic));
	strm_kafka_failure_set(&reader->failure, reader->rk, message->err, rd_kafka_message_errstr(message), doing);
	*failed = !reader->failure.temporary;
	return NULL;
}

void
strm_kafka_reader_close(StrmKafkaReader *reader)
{
	if (reader->message != NULL)
		rd_kafka_message_destroy(reader->message);
	if (reader->queue != NULL)
		rd_kafka_queue_destroy(reader->queue);
	if (reader->topic != NULL)
		rd_kafka_topic_destroy(reader->topic);
	if (reader->rk != NULL)
		rd_kafka_destroy(reader->rk);
	memset(reader, 0, offsetof(StrmKafkaReader, failure));
}

const char *
strm_kafka_header(const rd_kafka_message_t *message, const char *name, Size *size)
{
	rd_kafka_headers_t *headers;
	const void *value;

	if (rd_kafka_message_headers(message, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR ||
		rd_kafka_header_get_last(headers, name, &value, size) != RD_KAFKA_RESP_ERR_NO_ERROR)
		return NULL;
	return value;
}
