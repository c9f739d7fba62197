/*
 * kafka_sink.c
 *	  A module for test/t/kafka_sink.pl: lets SQL use a sink of strm_privacy_kafka as a Kafka worker does, step by step.
 *
 *	  A session has one sink. Records are numbered; number n has key k<n mod 10>, position <owner>/1/1/<n in 16 hex
 *	  digits>/0, and lies in partition n mod their number. Properties are a text array: name, value, name, value...
 */
#include "postgres.h"

#include <dirent.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "export/sink.h"

PG_MODULE_MAGIC;

static const StrmSinkKind *kind;
static MemoryContext cxt;
static StrmSink *sink;
static char *owner;
static int	wake = -1;
static int64 delivered;
static int64 disorder;
static int64 last_offset[100];

static void
count_delivered(void *arg, uint64 cookie, int partition, int64 offset)
{
	delivered++;
	disorder += offset <= last_offset[partition];
	last_offset[partition] = offset;
}

static void
load(void)
{
	if (kind == NULL)
		kind = ((StrmSinkFunction) load_external_function(STRM_SINK_LIBRARY, STRM_SINK_FUNCTION, true, NULL)) ();
	if (cxt == NULL)
		cxt = AllocSetContextCreate(TopMemoryContext, "sink", ALLOCSET_DEFAULT_SIZES);
	if (wake < 0)
		wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
}

/* properties text[], topic text, owner text, transactional_id text, starts bigint[] */
static StrmSinkConfig *
config_of(FunctionCallInfo fcinfo)
{
	StrmSinkConfig *config = palloc0(sizeof(StrmSinkConfig));
	StrmSinkProperty *properties;
	Datum	   *texts;
	int			n;

	deconstruct_array(PG_GETARG_ARRAYTYPE_P(0), TEXTOID, -1, false, TYPALIGN_INT, &texts, NULL, &n);
	properties = palloc0((n / 2 + 1) * sizeof(StrmSinkProperty));
	for (int i = 0; i < n / 2; i++)
	{
		properties[i].name = TextDatumGetCString(texts[i * 2]);
		properties[i].value = TextDatumGetCString(texts[i * 2 + 1]);
	}
	config->label = "Kafka exporter \"probe\"";
	config->nproperties = n / 2;
	config->properties = properties;
	config->topic = text_to_cstring(PG_GETARG_TEXT_PP(1));
	config->owner = text_to_cstring(PG_GETARG_TEXT_PP(2));
	config->transactional_id = PG_ARGISNULL(3) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(3));
	config->queue_size = 16 * 1024 * 1024;
	if (!PG_ARGISNULL(4))
	{
		ArrayType  *array = PG_GETARG_ARRAYTYPE_P(4);

		config->starts = (int64 *) ARR_DATA_PTR(array);
		config->nstarts = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
	}
	return config;
}

static StrmSinkState
serve(int timeout)
{
	uint64		count;

	(void) WaitLatchOrSocket(MyLatch, WL_LATCH_SET | WL_SOCKET_READABLE | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, wake, timeout,
							 PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
	if (read(wake, &count, sizeof(count)) < 0)
		count = 0;
	return kind->poll(sink);
}

/* state, what was delivered, and the error: '1 10 0', '2 3 0 58030 permanent words' */
static Datum
report(void)
{
	static const char *const names[] = {"opening", "ready", "failed"};
	StringInfoData out;
	const StrmSinkError *error = kind->error(sink);

	initStringInfo(&out);
	appendStringInfo(&out, "%s %ld %ld", names[kind->poll(sink)], (long) delivered, (long) disorder);
	if (error != NULL)
		appendStringInfo(&out, " %s %s %s%s%s", unpack_sql_state(error->sqlstate),
						 error->temporary ? "temporary" : "permanent", error->message, error->hint ? " " : "",
						 error->hint ? error->hint : "");
	return PointerGetDatum(cstring_to_text(out.data));
}

/* config, timeout ms: report, once it is ready or has failed or the time is up */
PG_FUNCTION_INFO_V1(probe_open);
Datum
probe_open(PG_FUNCTION_ARGS)
{
	TimestampTz until = GetCurrentTimestamp() + PG_GETARG_INT32(5) * INT64CONST(1000);
	MemoryContext before;

	load();
	before = MemoryContextSwitchTo(cxt);
	delivered = disorder = 0;
	memset(last_offset, -1, sizeof(last_offset));
	owner = text_to_cstring(PG_GETARG_TEXT_PP(2));
	sink = kind->open(config_of(fcinfo), wake, count_delivered, NULL);
	MemoryContextSwitchTo(before);
	while (serve(100) == STRM_SINK_OPENING && GetCurrentTimestamp() < until)
		;
	return report();
}

/* A line for each partition: end, and offset, position and whether others follow, where something was found. */
PG_FUNCTION_INFO_V1(probe_tails);
Datum
probe_tails(PG_FUNCTION_ARGS)
{
	StringInfoData out;

	initStringInfo(&out);
	for (int i = 0; i < kind->partitions(sink); i++)
	{
		const StrmSinkTail *tail = kind->tail(sink, i);

		appendStringInfo(&out, "%s%ld", i > 0 ? "\n" : "", (long) tail->end);
		if (tail->found)
			appendStringInfo(&out, " %ld %s%s", (long) tail->offset, tail->position, tail->foreign ? " foreign" : "");
	}
	PG_RETURN_TEXT_P(cstring_to_text(out.data));
}

/* number of the first record, sizes int[]: how many were taken before the sink failed */
PG_FUNCTION_INFO_V1(probe_send);
Datum
probe_send(PG_FUNCTION_ARGS)
{
	ArrayType  *array = PG_GETARG_ARRAYTYPE_P(1);
	int32	   *sizes = (int32 *) ARR_DATA_PTR(array);
	int			n = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));

	for (int i = 0; i < n; i++)
	{
		int64		number = PG_GETARG_INT64(0) + i;
		char	   *key = psprintf("k%ld", (long) (number % 10));
		char	   *position = psprintf("%s/1/1/%016lX/0", owner, (long) number);
		StrmSinkHeader headers[] = {
			{STRM_SINK_HEADER_POSITION, position, strlen(position)},
			{STRM_SINK_HEADER_NONCE, key + 1, 1}
		};
		StrmSinkRecord record = {.partition = number % kind->partitions(sink), .key = key, .key_size = 2,
			.value = palloc0(sizes[i]), .value_size = sizes[i], .nheaders = 2, .headers = headers, .cookie = number};
		StrmSinkResult result;

		while ((result = kind->produce(sink, &record)) == STRM_SINK_AGAIN)
			serve(100);
		if (result == STRM_SINK_REFUSED)
			PG_RETURN_INT32(i);
	}
	PG_RETURN_INT32(n);
}

/* timeout ms: report, once all is acknowledged or the sink has failed or the time is up */
PG_FUNCTION_INFO_V1(probe_wait);
Datum
probe_wait(PG_FUNCTION_ARGS)
{
	TimestampTz until = GetCurrentTimestamp() + PG_GETARG_INT32(0) * INT64CONST(1000);

	while (kind->queued(sink) > 0 && GetCurrentTimestamp() < until && serve(100) == STRM_SINK_READY)
		;
	return report();
}

/* Commits: is it done? */
PG_FUNCTION_INFO_V1(probe_commit);
Datum
probe_commit(PG_FUNCTION_ARGS)
{
	StrmSinkResult result;

	while ((result = kind->commit(sink)) == STRM_SINK_AGAIN)
		serve(100);
	PG_RETURN_BOOL(result == STRM_SINK_DONE);
}

/* Closes the sink, or with true only resets its memory: the ms that it took. */
PG_FUNCTION_INFO_V1(probe_close);
Datum
probe_close(PG_FUNCTION_ARGS)
{
	TimestampTz start = GetCurrentTimestamp();

	if (!PG_GETARG_BOOL(0))
		kind->close(sink);
	MemoryContextReset(cxt);
	sink = NULL;
	PG_RETURN_INT32((GetCurrentTimestamp() - start) / 1000);
}

/* config, partitions, timeout ms */
PG_FUNCTION_INFO_V1(probe_check);
Datum
probe_check(PG_FUNCTION_ARGS)
{
	StrmSinkTopic topic;

	load();
	kind->check(config_of(fcinfo), PG_GETARG_INT32(5), PG_GETARG_INT32(6), &topic);
	PG_RETURN_TEXT_P(cstring_to_text(psprintf("%d%s", topic.partitions, topic.created ? " created" : "")));
}

static void
count_scanned(void *arg, int partition, int64 offset, const char *key, Size key_size, const char *nonce, Size nonce_size)
{
	if (key_size == 2 && nonce_size == 1 && nonce[0] == key[1])
		(*(int64 *) arg)++;
}

/* config: how many records have a nonce that fits to their key */
PG_FUNCTION_INFO_V1(probe_scan);
Datum
probe_scan(PG_FUNCTION_ARGS)
{
	int64		count = 0;

	load();
	kind->scan(config_of(fcinfo), count_scanned, &count);
	PG_RETURN_INT64(count);
}

/* Other threads of this process, and those of them that take signals (SIGTERM, SIGINT, SIGUSR1, SIGHUP). */
PG_FUNCTION_INFO_V1(probe_threads);
Datum
probe_threads(PG_FUNCTION_ARGS)
{
	DIR		   *tasks = opendir("/proc/self/task");
	struct dirent *task;
	int			threads = 0;
	int			open = 0;

	while ((task = readdir(tasks)) != NULL)
	{
		char		line[256];
		unsigned long blocked = ~0UL;	/* of one that is gone by now */
		FILE	   *status;

		if (task->d_name[0] == '.' || atoi(task->d_name) == getpid())
			continue;
		status = fopen(psprintf("/proc/self/task/%s/status", task->d_name), "r");
		while (status != NULL && fgets(line, sizeof(line), status) != NULL)
			sscanf(line, "SigBlk: %lx", &blocked);
		if (status != NULL)
			fclose(status);
		threads++;
		for (int i = 0; i < 4; i++)
		{
			static const int signals[] = {SIGTERM, SIGINT, SIGUSR1, SIGHUP};

			open += (blocked & (1UL << (signals[i] - 1))) == 0;
		}
	}
	closedir(tasks);
	PG_RETURN_TEXT_P(cstring_to_text(psprintf("%s %d", threads > 0 ? "threads" : "none", open)));
}
