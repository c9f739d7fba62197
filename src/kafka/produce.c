/*
 * produce.c
 *	  Records on their way to a broker.
 *
 *	  A record's value stays in memory of ours until the library is done with it, and is wiped then. (Its copies in
 *	  buffers of compression and TLS are not ours to wipe.) Keys and headers, which are not personal, it copies.
 *
 *	  Priming. A broker refuses a batch that does not follow the one before, so when a batch fails for good, those that
 *	  were sent behind it fail, too, and no gap arises. But it can only do so when it has a batch of this producer:
 *	  from one that it does not know (or has forgotten, as it does in time) it takes any batch for the first. So the
 *	  first record of a partition goes alone, and others follow when it is acknowledged. Transactions need none of
 *	  that: they are aborted as a whole.
 */
#include "postgres.h"

#include "kafka/sink_private.h"

/* What librdkafka needs for a record besides its key, value and headers: measured, rounded up. */
#define STRM_KAFKA_RECORD_OVERHEAD 512
#define STRM_KAFKA_MAX_HEADERS 8
#define STRM_KAFKA_PRIMED_TIME 60000	/* milliseconds without a record after which a partition is primed anew */

/* May the record be sent now, or has the first one of its partition to be acknowledged before? */
static bool
strm_kafka_may_send(StrmSink *sink, StrmKafkaPartition *partition)
{
	if (sink->transactional)
		return true;
	if (partition->nqueued > 0)
		return partition->primed;
	if (partition->primed &&
		TimestampDifferenceExceeds(partition->last, GetCurrentTimestamp(), STRM_KAFKA_PRIMED_TIME))
		partition->primed = false;
	return true;
}

/* What a record takes of the queue. */
static Size
strm_kafka_record_size(const StrmSinkRecord *record)
{
	Size		size = record->key_size + record->value_size + STRM_KAFKA_RECORD_OVERHEAD;

	for (int i = 0; i < record->nheaders; i++)
		size += strlen(record->headers[i].name) + record->headers[i].size;
	return size;
}

/* Gives a record to the library. */
static rd_kafka_resp_err_t
strm_kafka_send(StrmSink *sink, const StrmSinkRecord *record, StrmKafkaRecord *copy)
{
	rd_kafka_vu_t args[5 + STRM_KAFKA_MAX_HEADERS];
	int			n = 0;
	rd_kafka_error_t *error;
	rd_kafka_resp_err_t err;

	args[n].vtype = RD_KAFKA_VTYPE_RKT;
	args[n++].u.rkt = sink->topic;
	args[n].vtype = RD_KAFKA_VTYPE_PARTITION;
	args[n++].u.i32 = record->partition;
	args[n].vtype = RD_KAFKA_VTYPE_KEY;
	args[n].u.mem.ptr = unconstify(char *, record->key);
	args[n++].u.mem.size = record->key_size;
	args[n].vtype = RD_KAFKA_VTYPE_VALUE;
	args[n].u.mem.ptr = copy->value;
	args[n++].u.mem.size = copy->value_size;
	args[n].vtype = RD_KAFKA_VTYPE_OPAQUE;
	args[n++].u.ptr = copy;
	for (int i = 0; i < Min(record->nheaders, STRM_KAFKA_MAX_HEADERS); i++)
	{
		args[n].vtype = RD_KAFKA_VTYPE_HEADER;
		args[n].u.header.name = record->headers[i].name;
		args[n].u.header.val = record->headers[i].value;
		args[n++].u.header.size = record->headers[i].size;
	}
	error = rd_kafka_produceva(sink->rk, args, n);
	err = error != NULL ? rd_kafka_error_code(error) : RD_KAFKA_RESP_ERR_NO_ERROR;
	rd_kafka_error_destroy(error);
	return err;
}

/* A record that the library does not take. */
static StrmSinkResult
strm_kafka_not_sent(StrmSink *sink, const StrmSinkRecord *record, rd_kafka_resp_err_t err)
{
	char		doing[400];

	if (err == RD_KAFKA_RESP_ERR__QUEUE_FULL)
		return STRM_SINK_AGAIN;
	if (rd_kafka_fatal_error(sink->rk, NULL, 0) != RD_KAFKA_RESP_ERR_NO_ERROR ||
		(err == RD_KAFKA_RESP_ERR__STATE && sink->transactional))
	{
		/* Reports on other records tell why. */
		if (sink->fatal_since == 0)
			sink->fatal_since = GetCurrentTimestamp();
		return STRM_SINK_AGAIN;
	}
	snprintf(doing, sizeof(doing), "cannot write a record of %zu bytes to partition %d of topic \"%s\"",
			 record->value_size, record->partition, sink->topic_name);
	strm_kafka_fail_with(sink, err, NULL, doing);
	return STRM_SINK_REFUSED;
}

StrmSinkResult
strm_kafka_produce(StrmSink *sink, const StrmSinkRecord *record)
{
	Size		size = strm_kafka_record_size(record);
	StrmKafkaPartition *partition;
	StrmKafkaRecord *copy;
	rd_kafka_resp_err_t err;

	if (sink->state == STRM_SINK_FAILED)
		return STRM_SINK_REFUSED;
	if (sink->state != STRM_SINK_READY || sink->ending != NULL || sink->fatal_since != 0 ||
		(sink->queued > 0 && sink->queued + size > sink->queue_size))
		return STRM_SINK_AGAIN;
	if (record->partition < 0 || record->partition >= sink->npartitions || record->nheaders > STRM_KAFKA_MAX_HEADERS)
		return strm_kafka_not_sent(sink, record, RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION);
	partition = &sink->partitions[record->partition];
	if (!strm_kafka_may_send(sink, partition))
		return STRM_SINK_AGAIN;
	if (sink->transactional && !strm_kafka_begin(sink))
		return STRM_SINK_REFUSED;
	copy = malloc(offsetof(StrmKafkaRecord, value) + record->value_size);
	if (copy == NULL)
		return STRM_SINK_AGAIN;
	copy->size = size;
	copy->value_size = record->value_size;
	copy->cookie = record->cookie;
	memcpy(copy->value, record->value, record->value_size);
	dlist_push_tail(&sink->records, &copy->node);
	sink->queued += size;
	partition->nqueued++;
	err = strm_kafka_send(sink, record, copy);
	if (err == RD_KAFKA_RESP_ERR_NO_ERROR)
		return STRM_SINK_DONE;
	strm_kafka_record_done(sink, copy, record->partition);
	return strm_kafka_not_sent(sink, record, err);
}

void
strm_kafka_record_done(StrmSink *sink, StrmKafkaRecord *record, int partition)
{
	dlist_delete(&record->node);
	sink->queued -= record->size;
	if (partition >= 0 && partition < sink->npartitions)
		sink->partitions[partition].nqueued--;
	explicit_bzero(record->value, record->value_size);
	free(record);
}
