/*
 * opener.c
 *	  What happens before a sink can be written to.
 *
 *	  A partition's end is that of all records, not only of committed ones: a record of ours may lie behind the open
 *	  transaction of another producer, and readers of committed records are shown nothing beyond where that began. So
 *	  when its end is further on, we wait until the transaction ends.
 *
 *	  Offsets say little of where the last record of ours is: markers of transactions, records of aborted ones, records
 *	  that were compacted away and those of others take offsets, too. So looking back begins with one offset, and takes
 *	  ten times as many each time that nothing was found.
 *
 *	  Without transactions nothing fences an older producer. Its process is gone, and with it what had not left this
 *	  machine (see strm_kafka_connect), but a request of it may still lie in the receive buffer of a broker, which may
 *	  have been asleep; or be in the log of a partition's leader alone, beyond the end that clients are told, until the
 *	  replicas have it. So when all leaders have answered, they are left some time, are asked again until nothing has
 *	  changed, and then asked for what lies beyond the end: only where nothing does they say that there is no such
 *	  offset.
 */
#include "postgres.h"

#include <time.h>

#include "kafka/opener.h"
#include "strm_privacy.h"

#define STRM_KAFKA_SETTLE_TIME 250	/* milliseconds at least; longer when brokers were slow to answer */
#define STRM_KAFKA_SETTLE_MAX 3000
#define STRM_KAFKA_SETTLE_TRIES 40	/* while somebody writes: a topic of others never settles */
#define STRM_KAFKA_BEYOND_TIME 1000
#define STRM_KAFKA_PAUSE 100
#define STRM_KAFKA_FIRST_WINDOW 1
#define STRM_KAFKA_WINDOW_GROWTH 10

/* Notes a failure; sqlstate 0 is none. */
static void
strm_kafka_opener_note(StrmKafkaOpener *opener, const StrmKafkaFailure *failure)
{
	pthread_mutex_lock(&opener->task.lock);
	opener->failure = *failure;
	pthread_mutex_unlock(&opener->task.lock);
}

void
strm_kafka_opener_failure(StrmKafkaOpener *opener, StrmKafkaFailure *failure)
{
	pthread_mutex_lock(&opener->task.lock);
	*failure = opener->failure;
	pthread_mutex_unlock(&opener->task.lock);
}

/* Notes a failure for good. */
static bool
strm_kafka_opener_fail(StrmKafkaOpener *opener, const StrmKafkaFailure *failure)
{
	strm_kafka_opener_note(opener, failure);
	opener->failed = true;
	return false;
}

/* Makes the brokers forget older producers of this transactional id, and abort what they began. */
static bool
strm_kafka_opener_fence(StrmKafkaOpener *opener)
{
	while (strm_kafka_task_pause(&opener->task, 0))
	{
		rd_kafka_error_t *error = rd_kafka_init_transactions(opener->producer, STRM_KAFKA_PAUSE);
		StrmKafkaFailure failure;
		bool		again;

		if (error == NULL)
			return true;
		again = rd_kafka_error_is_retriable(error);
		strm_kafka_failure_set(&failure, opener->producer, rd_kafka_error_code(error), rd_kafka_error_string(error),
							   "cannot begin transactions");
		rd_kafka_error_destroy(error);
		if (!again)
			return strm_kafka_opener_fail(opener, &failure);
		strm_kafka_opener_note(opener, &failure);
		strm_kafka_task_pause(&opener->task, STRM_KAFKA_PAUSE);
	}
	return false;
}

/* Asks the brokers for the bounds that are not known, and notes how long they took. */
static bool
strm_kafka_opener_ask(StrmKafkaOpener *opener)
{
	StrmKafkaBounds *bounds = &opener->bounds;
	struct timespec from;
	struct timespec to;
	int			ms;

	clock_gettime(CLOCK_MONOTONIC, &from);
	while (strm_kafka_task_pause(&opener->task, bounds->failure.sqlstate != 0 ? STRM_KAFKA_PAUSE : 0))
	{
		StrmKafkaStep step = strm_kafka_bounds_step(bounds);

		if (step == STRM_KAFKA_FAILED)
			return strm_kafka_opener_fail(opener, &bounds->failure);
		strm_kafka_opener_note(opener, &bounds->failure);
		if (step == STRM_KAFKA_AGAIN)
			continue;
		clock_gettime(CLOCK_MONOTONIC, &to);
		ms = (int) Min(to.tv_sec - from.tv_sec, 1000) * 1000 + (int) ((to.tv_nsec - from.tv_nsec) / 1000000);
		opener->settle = Min(Max(ms, STRM_KAFKA_SETTLE_TIME), STRM_KAFKA_SETTLE_MAX);
		return true;
	}
	return false;
}

/* Learns where the partitions end. */
static bool
strm_kafka_opener_bounds(StrmKafkaOpener *opener)
{
	rd_kafka_conf_t *conf = opener->scout_conf;

	opener->scout_conf = NULL;
	if (!strm_kafka_bounds_open(&opener->bounds, conf, opener->topic))
		return strm_kafka_opener_fail(opener, &opener->bounds.failure);
	return strm_kafka_opener_ask(opener);
}

/* Waits until no request of an older producer changes anything any more. */
static bool
strm_kafka_opener_settle(StrmKafkaOpener *opener)
{
	StrmKafkaBounds *bounds = &opener->bounds;
	Size		size = bounds->npartitions * sizeof(int64);
	int64	   *before = malloc(size);
	bool		beyond = true;
	bool		done = false;

	if (before == NULL)
	{
		strm_kafka_failure_say(&bounds->failure, ERRCODE_OUT_OF_MEMORY, true, NULL, "out of memory");
		return strm_kafka_opener_fail(opener, &bounds->failure);
	}
	for (int i = 0; !done; i++)
	{
		int			settled = opener->settle;

		memcpy(before, bounds->end, size);
		if (!strm_kafka_task_pause(&opener->task, settled))
			break;
		bounds->known = 0;
		if (!strm_kafka_opener_ask(opener))
			break;
		if (i < STRM_KAFKA_SETTLE_TRIES &&
			(opener->settle > 2 * settled || memcmp(before, bounds->end, size) != 0))
			continue;
		if (!strm_kafka_bounds_beyond(bounds, STRM_KAFKA_BEYOND_TIME, &beyond))
		{
			strm_kafka_opener_fail(opener, &bounds->failure);
			break;
		}
		if (beyond)
			strm_kafka_opener_note(opener, &bounds->failure);
		done = !beyond;
	}
	free(before);
	return done;
}

/* The lowest offset of a partition that is to be looked at. A topic that ends before it has been made anew. */
static int64
strm_kafka_opener_start_of(const StrmKafkaOpener *opener, int partition)
{
	int64		start = partition < opener->nstarts ? opener->starts[partition] : 0;

	if (start > opener->bounds.end[partition])
		start = 0;
	return Max(start, opener->bounds.first[partition]);
}

/* Takes note of a record if it is at an offset to look at. */
static void
strm_kafka_opener_look(StrmKafkaOpener *opener, const rd_kafka_message_t *message)
{
	StrmKafkaTail *tail = &opener->tails[message->partition];
	Size		size;
	const char *position = strm_kafka_header(message, STRM_SINK_HEADER_POSITION, &size);
	Size		owner_size = strlen(opener->owner);

	if (message->offset < strm_kafka_opener_start_of(opener, message->partition) ||
		message->offset >= opener->bounds.end[message->partition])
		return;
	if (position == NULL || size < owner_size || size >= STRM_KAFKA_POSITION_SIZE ||
		memcmp(position, opener->owner, owner_size) != 0)
	{
		tail->foreign = tail->found;
		return;
	}
	tail->found = true;
	tail->foreign = false;
	tail->offset = message->offset;
	memcpy(tail->position, position, size);
	tail->position[size] = '\0';
}

/* Begins to read the partitions that nothing was found in, from window offsets before the end. Their number, or -1. */
static int
strm_kafka_opener_begin(StrmKafkaOpener *opener, int64 window, bool *reading)
{
	int			n = 0;

	for (int i = 0; i < opener->bounds.npartitions; i++)
	{
		int64		start = strm_kafka_opener_start_of(opener, i);
		int64		end = opener->bounds.end[i];

		/* The window before this one may have reached the start already. */
		if (opener->tails[i].found || end <= start ||
			(window > STRM_KAFKA_FIRST_WINDOW && end - window / STRM_KAFKA_WINDOW_GROWTH <= start))
			continue;
		if (!strm_kafka_reader_start(&opener->reader, i, Max(start, end - window)))
			return -1;
		reading[i] = true;
		n++;
	}
	return n;
}

/* Reads n partitions to their ends. */
static bool
strm_kafka_opener_window(StrmKafkaOpener *opener, int n, bool *reading)
{
	while (n > 0)
	{
		int64		next;
		bool		failed;
		const rd_kafka_message_t *message = strm_kafka_reader_next(&opener->reader, STRM_KAFKA_PAUSE, &next, &failed);

		if (failed)
			return strm_kafka_opener_fail(opener, &opener->reader.failure);
		if (!strm_kafka_task_pause(&opener->task, 0))
			return false;
		if (message == NULL && opener->reader.failure.sqlstate != 0)
			strm_kafka_opener_note(opener, &opener->reader.failure);
		if (message == NULL || message->partition >= opener->bounds.npartitions || !reading[message->partition])
			continue;
		if (next < 0)
		{
			strm_kafka_opener_look(opener, message);
			next = message->offset + 1;
		}
		else if (next < opener->bounds.end[message->partition])
		{
			StrmKafkaFailure failure;

			strm_kafka_failure_say(&failure, ERRCODE_OBJECT_IN_USE, true, NULL,
								   "the open transaction of another producer holds back the end of the topic");
			strm_kafka_opener_note(opener, &failure);
		}
		if (next >= opener->bounds.end[message->partition])
		{
			strm_kafka_reader_stop(&opener->reader, message->partition);
			reading[message->partition] = false;
			n--;
		}
	}
	return true;
}

/* Reads the tails. */
static bool
strm_kafka_opener_tails(StrmKafkaOpener *opener)
{
	bool	   *reading = calloc(opener->bounds.npartitions, sizeof(bool));
	rd_kafka_conf_t *conf = opener->reader_conf;
	bool		done = false;
	int			n;

	opener->tails = calloc(opener->bounds.npartitions, sizeof(StrmKafkaTail));
	opener->reader_conf = NULL;
	if (!strm_kafka_reader_open(&opener->reader, conf, opener->topic))
		strm_kafka_opener_fail(opener, &opener->reader.failure);
	else if (reading == NULL || opener->tails == NULL)
	{
		strm_kafka_failure_say(&opener->reader.failure, ERRCODE_OUT_OF_MEMORY, true, NULL, "out of memory");
		strm_kafka_opener_fail(opener, &opener->reader.failure);
	}
	else
	{
		int64		window = STRM_KAFKA_FIRST_WINDOW;

		while ((n = strm_kafka_opener_begin(opener, window, reading)) > 0 &&
			   strm_kafka_opener_window(opener, n, reading))
			window *= STRM_KAFKA_WINDOW_GROWTH;
		if (n < 0)
			strm_kafka_opener_fail(opener, &opener->reader.failure);
		done = n == 0;
	}
	free(reading);
	return done;
}

/* The task. Its handles may take their time to end, which nobody needs to wait for. */
static void
strm_kafka_opener_run(StrmKafkaTask *task)
{
	StrmKafkaOpener *opener = (StrmKafkaOpener *) task;
	bool		fence = opener->producer != NULL;
	bool		with_tails = opener->reader_conf != NULL;

	if (fence && !strm_kafka_opener_fence(opener))
		return;
	strm_kafka_task_reach(task, STRM_KAFKA_RELEASED);
	if (strm_kafka_opener_bounds(opener) && with_tails && (fence || strm_kafka_opener_settle(opener)))
		strm_kafka_opener_tails(opener);
	strm_kafka_task_reach(task, STRM_KAFKA_FINISHED);
	strm_kafka_reader_close(&opener->reader);
	strm_kafka_bounds_close(&opener->bounds);
}

/* Frees an opener. */
static void
strm_kafka_opener_free(StrmKafkaTask *task)
{
	StrmKafkaOpener *opener = (StrmKafkaOpener *) task;

	strm_kafka_bounds_free(&opener->bounds);
	if (opener->scout_conf != NULL)
		rd_kafka_conf_destroy(opener->scout_conf);
	if (opener->reader_conf != NULL)
		rd_kafka_conf_destroy(opener->reader_conf);
	free(opener->tails);
	free(opener->topic);
	free(opener->owner);
	free(opener->starts);
	free(opener);
}

StrmKafkaOpener *
strm_kafka_opener_start(const StrmSinkConfig *config, rd_kafka_t *producer, bool with_tails, int wake_fd)
{
	rd_kafka_conf_t *scout_conf = strm_kafka_conf(config, STRM_KAFKA_SCOUT);
	rd_kafka_conf_t *reader_conf = with_tails ? strm_kafka_conf(config, STRM_KAFKA_READER) : NULL;
	StrmKafkaOpener *opener = calloc(1, sizeof(StrmKafkaOpener));
	int			nstarts = config->starts != NULL ? config->nstarts : 0;

	if (opener != NULL)
	{
		opener->task.run = strm_kafka_opener_run;
		opener->task.free = strm_kafka_opener_free;
		opener->task.wake_fd = wake_fd;
		opener->producer = producer;
		opener->scout_conf = scout_conf;
		opener->reader_conf = reader_conf;
		opener->topic = strdup(config->topic);
		opener->owner = strdup(config->owner != NULL ? config->owner : "");
		opener->starts = calloc(nstarts + 1, sizeof(int64));
		opener->nstarts = nstarts;
		if (opener->starts != NULL && nstarts > 0)
			memcpy(opener->starts, config->starts, nstarts * sizeof(int64));
	}
	if (opener == NULL || opener->topic == NULL || opener->owner == NULL || opener->starts == NULL ||
		!strm_kafka_task_start(&opener->task))
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("%s: there is no memory, or no thread to be had, for its connections", config->label)));
	return opener;
}
