/*
 * scan.c
 *	  All records of a topic, from known offsets to the present end.
 *
 *	  Blocks. Finding out where the partitions end may take ten seconds when a broker does not answer, so a task does
 *	  that, and we listen to interrupts.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/latch.h"
#include "utils/wait_event.h"

#include "kafka/sink_private.h"

#define STRM_KAFKA_SCAN_PAUSE 100	/* milliseconds */

/* A scan on its way. */
typedef struct StrmKafkaScan
{
	const StrmSinkConfig *config;
	StrmSinkScanned scanned;
	void	   *arg;
	StrmKafkaOpener *opener;
	StrmKafkaReader reader;
	bool	   *reading;
	int64	   *starts;
} StrmKafkaScan;

/* Waits for the bounds. */
static void
strm_kafka_scan_bounds(StrmKafkaScan *scan)
{
	StrmKafkaFailure failure;

	scan->opener = strm_kafka_opener_start(scan->config, NULL, false, -1);
	while (!strm_kafka_task_done(&scan->opener->task))
	{
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, STRM_KAFKA_SCAN_PAUSE / 10,
						 PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
	strm_kafka_opener_failure(scan->opener, &failure);
	if (scan->opener->failed)
		strm_kafka_raise(scan->config, &failure);
}

/* Starts to read what there is; returns how many partitions. */
static int
strm_kafka_scan_start(StrmKafkaScan *scan)
{
	const StrmKafkaBounds *bounds = &scan->opener->bounds;
	int			n = 0;

	scan->reading = palloc0(bounds->npartitions * sizeof(bool));
	scan->starts = palloc0(bounds->npartitions * sizeof(int64));
	for (int i = 0; i < bounds->npartitions; i++)
	{
		if (scan->config->starts != NULL && i < scan->config->nstarts && scan->config->starts[i] <= bounds->end[i])
			scan->starts[i] = scan->config->starts[i];
		scan->starts[i] = Max(scan->starts[i], bounds->first[i]);
		if (scan->starts[i] >= bounds->end[i])
			continue;
		if (!strm_kafka_reader_start(&scan->reader, i, scan->starts[i]))
			strm_kafka_raise(scan->config, &scan->reader.failure);
		scan->reading[i] = true;
		n++;
	}
	return n;
}

/* Hands a record on. */
static void
strm_kafka_scan_record(StrmKafkaScan *scan, const rd_kafka_message_t *message)
{
	Size		nonce_size = 0;
	const char *nonce = strm_kafka_header(message, STRM_SINK_HEADER_NONCE, &nonce_size);

	if (message->offset >= scan->starts[message->partition] &&
		message->offset < scan->opener->bounds.end[message->partition])
		scan->scanned(scan->arg, message->partition, message->offset, message->key, message->key_len, nonce,
					  nonce_size);
}

/* Reads n partitions to their ends. */
static void
strm_kafka_scan_read(StrmKafkaScan *scan, int n)
{
	while (n > 0)
	{
		int64		next;
		bool		failed;
		const rd_kafka_message_t *message;

		CHECK_FOR_INTERRUPTS();
		message = strm_kafka_reader_next(&scan->reader, STRM_KAFKA_SCAN_PAUSE, &next, &failed);
		if (failed)
			strm_kafka_raise(scan->config, &scan->reader.failure);
		if (message == NULL || message->partition >= scan->opener->bounds.npartitions ||
			!scan->reading[message->partition])
			continue;
		if (next < 0)
		{
			strm_kafka_scan_record(scan, message);
			next = message->offset + 1;
		}
		if (next >= scan->opener->bounds.end[message->partition])
		{
			strm_kafka_reader_stop(&scan->reader, message->partition);
			scan->reading[message->partition] = false;
			n--;
		}
	}
}

void
strm_kafka_scan(const StrmSinkConfig *config, StrmSinkScanned scanned, void *arg)
{
	StrmKafkaScan *scan = palloc0(sizeof(StrmKafkaScan));

	scan->config = config;
	scan->scanned = scanned;
	scan->arg = arg;
	PG_TRY();
	{
		strm_kafka_scan_bounds(scan);
		if (!strm_kafka_reader_open(&scan->reader, strm_kafka_conf(config, STRM_KAFKA_READER), config->topic))
			strm_kafka_raise(config, &scan->reader.failure);
		strm_kafka_scan_read(scan, strm_kafka_scan_start(scan));
	}
	PG_FINALLY();
	{
		strm_kafka_reader_close(&scan->reader);
		if (scan->opener != NULL)
			strm_kafka_task_leave(&scan->opener->task);
	}
	PG_END_TRY();
}
