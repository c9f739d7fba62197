/*
 * handle.c
 *	  Handles of the client library: their configuration.
 *
 *	  Which properties users may give is decided where clusters are defined. What is refused here as well is what would
 *	  run code or read files of the server, or break what a sink promises.
 */
#include "postgres.h"

#include <sys/socket.h>

#include "kafka/handle.h"
#include "kafka/token.h"

/* By their whole names, or (with a star) by how they begin or end. */
static const char *const strm_kafka_refused[] = {
	"plugin.*", "sasl.kerberos.*", "*.location", "*.file", "*.path", "*.paths", "*.providers", "ssl.engine.*", "*_cb",
	"opaque", "default_topic_conf", "enabled_events", "debug", "log.queue", "log_level", "test.mock.*", "client.software.*",
	"enable.idempotence", "enable.gapless.guarantee", "acks", "request.required.acks", "transactional.id",
	"message.timeout.ms", "delivery.timeout.ms", "queuing.strategy", "queue.buffering.max.messages",
	"queue.buffering.max.kbytes",
	"queue.buffering.backpressure.threshold", "message.send.max.retries", "retries", "isolation.level", "group.*",
	"check.crcs", "enable.partition.eof", "auto.offset.reset", "allow.auto.create.topics", "interceptors"};

/* Ours. What a user gave for a default goes before it. */
typedef struct StrmKafkaSetting
{
	const char *name;
	const char *value;
} StrmKafkaSetting;

static const StrmKafkaSetting strm_kafka_defaults[] = {
	{"client.id", "strm_privacy"}, {"linger.ms", "0"}, {"socket.nagle.disable", "true"},
	{"log.connection.close", "false"}, {"reconnect.backoff.max.ms", "5000"}, {NULL, NULL}};

static const StrmKafkaSetting strm_kafka_of_producers[] = {
	{"enable.idempotence", "true"}, {"acks", "all"}, {"queue.buffering.max.messages", "10000000"},
	{"allow.auto.create.topics", "false"}, {"log.queue", "true"}, {NULL, NULL}};

static const StrmKafkaSetting strm_kafka_without_transactions[] = {
	{"enable.gapless.guarantee", "true"}, {"message.timeout.ms", "0"}, {NULL, NULL}};

static const StrmKafkaSetting strm_kafka_of_readers[] = {
	{"check.crcs", "true"}, {"enable.partition.eof", "true"}, {"auto.offset.reset", "earliest"},
	{"enable.auto.commit", "false"}, {"enable.auto.offset.store", "false"}, {"fetch.wait.max.ms", "50"},
	{"fetch.error.backoff.ms", "100"}, {"queued.max.messages.kbytes", "4096"},
	{"allow.auto.create.topics", "false"}, {"socket.timeout.ms", "10000"}, {NULL, NULL}};

/* Does a name match a pattern of strm_kafka_refused? */
static bool
strm_kafka_matches(const char *name, const char *pattern)
{
	Size		name_size = strlen(name);
	Size		size = strlen(pattern) - 1;

	if (pattern[0] == '*')
		return name_size >= size && strcmp(name + name_size - size, pattern + 1) == 0;
	if (pattern[size] == '*')
		return strncmp(name, pattern, size) == 0;
	return strcmp(name, pattern) == 0;
}

/* Frees a configuration and raises that a property is not taken; why is constant. */
pg_noreturn static void
strm_kafka_refuse(rd_kafka_conf_t *conf, const char *name, const char *why)
{
	rd_kafka_conf_destroy(conf);
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("the Kafka property \"%s\" is refused", name),
			 errdetail("%s", why)));
}

/* Sets one property; the library's own words are not shown, as they quote the value. */
static void
strm_kafka_set(rd_kafka_conf_t *conf, const char *name, const char *value)
{
	char		words[512];
	rd_kafka_conf_res_t result = rd_kafka_conf_set(conf, name, value, words, sizeof(words));

	explicit_bzero(words, sizeof(words));
	if (result == RD_KAFKA_CONF_UNKNOWN)
		strm_kafka_refuse(conf, name, psprintf("librdkafka %s does not know it.", rd_kafka_version_str()));
	else if (result != RD_KAFKA_CONF_OK)
		strm_kafka_refuse(conf, name,
						  psprintf("Its value is invalid, or this build of librdkafka %s cannot do it.",
								   rd_kafka_version_str()));
}

/* Sets a list of ours. */
static void
strm_kafka_set_all(rd_kafka_conf_t *conf, const StrmKafkaSetting *settings)
{
	for (; settings->name != NULL; settings++)
		strm_kafka_set(conf, settings->name, settings->value);
}

/* Readers and scouts say nothing: the producer of the same brokers does. In the library's threads. */
static void
strm_kafka_log_nothing(const rd_kafka_t *rk, int level, const char *facility, const char *text)
{
}

typedef const char *(*StrmKafkaRefuse) (const struct sockaddr *address, bool trusted, bool local_only);

/*
 * Connects, or says that it must not. In the library's threads, as what follows. When the process ends, what has not
 * left this machine is dropped: after an outage the system would send it on, when a later process has begun already.
 */
static int
strm_kafka_connect(int socket, const struct sockaddr *address, int size, StrmKafkaRefuse refuse, bool trusted)
{
	struct linger drop = {.l_onoff = 1, .l_linger = 0};

	(void) setsockopt(socket, SOL_SOCKET, SO_LINGER, &drop, sizeof(drop));
	if (refuse(address, trusted, false) != NULL)
		return EACCES;
	return connect(socket, address, size) == 0 || errno == EINPROGRESS ? 0 : errno;
}

static int
strm_kafka_connect_trusted(int socket, const struct sockaddr *address, int size, const char *id, void *refuse)
{
	return strm_kafka_connect(socket, address, size, (StrmKafkaRefuse) refuse, true);
}

static int
strm_kafka_connect_other(int socket, const struct sockaddr *address, int size, const char *id, void *refuse)
{
	return strm_kafka_connect(socket, address, size, (StrmKafkaRefuse) refuse, false);
}

/* Which addresses are reached. The handle may be used longer than the sink lives: so nothing of that is passed. */
static void
strm_kafka_conf_addresses(rd_kafka_conf_t *conf, const StrmSinkConfig *config)
{
	if (config->refuse == NULL)
		return;
	rd_kafka_conf_set_opaque(conf, (void *) config->refuse);
	rd_kafka_conf_set_connect_cb(conf, config->trusted ? strm_kafka_connect_trusted : strm_kafka_connect_other);
}

/* What a producer adds. */
static void
strm_kafka_conf_producer(rd_kafka_conf_t *conf, const StrmSinkConfig *config)
{
	char		size[32];

	strm_kafka_set_all(conf, strm_kafka_of_producers);
	if (config->transactional_id != NULL)
		strm_kafka_set(conf, "transactional.id", config->transactional_id);
	else
		strm_kafka_set_all(conf, strm_kafka_without_transactions);
	/* The sink keeps the limit itself; this one only must not be below. */
	snprintf(size, sizeof(size), "%d", (int) Min(Max(config->queue_size / 1024 * 2, 1024), PG_INT32_MAX / 2));
	strm_kafka_set(conf, "queue.buffering.max.kbytes", size);
	rd_kafka_conf_set_events(conf, RD_KAFKA_EVENT_DR | RD_KAFKA_EVENT_LOG | RD_KAFKA_EVENT_ERROR);
}

rd_kafka_conf_t *
strm_kafka_conf(const StrmSinkConfig *config, StrmKafkaUse use)
{
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	bool		token = strm_kafka_token_wanted(config);

	strm_kafka_set_all(conf, strm_kafka_defaults);
	for (int i = 0; i < config->nproperties; i++)
	{
		const StrmSinkProperty *property = &config->properties[i];

		for (int j = 0; j < lengthof(strm_kafka_refused); j++)
		{
			if (strm_kafka_matches(property->name, strm_kafka_refused[j]))
				strm_kafka_refuse(conf, property->name,
								  "It would run code, name a file, or break what exporters promise.");
		}
		if (!strm_kafka_token_takes(property->name))
			strm_kafka_set(conf, property->name, property->value);
	}
	if (token)
		strm_kafka_token_configure(conf, config);
	strm_kafka_conf_addresses(conf, config);
	/* Tokens are got in a thread of the library's, not where events are served. */
	rd_kafka_conf_enable_sasl_queue(conf, 1);
	if (use == STRM_KAFKA_PRODUCER)
		strm_kafka_conf_producer(conf, config);
	else
	{
		strm_kafka_set_all(conf, strm_kafka_of_readers);
		/* What a scout does not find it must be told. */
		if (use == STRM_KAFKA_SCOUT)
			strm_kafka_set(conf, "auto.offset.reset", "error");
		strm_kafka_set(conf, "isolation.level", use == STRM_KAFKA_READER ? "read_committed" : "read_uncommitted");
		rd_kafka_conf_set_log_cb(conf, strm_kafka_log_nothing);
	}
	return conf;
}

/* Does the handle log in with OAUTHBEARER? */
static bool
strm_kafka_uses_tokens(rd_kafka_t *rk)
{
	char		mechanism[32] = "";
	size_t		size = sizeof(mechanism);

	return rd_kafka_conf_get(rd_kafka_conf(rk), "sasl.mechanisms", mechanism, &size) == RD_KAFKA_CONF_OK &&
		strcmp(mechanism, "OAUTHBEARER") == 0;
}

rd_kafka_t *
strm_kafka_new(rd_kafka_conf_t *conf, StrmKafkaUse use, StrmKafkaFailure *failure)
{
	char		words[512] = "";
	rd_kafka_t *rk = rd_kafka_new(use == STRM_KAFKA_PRODUCER ? RD_KAFKA_PRODUCER : RD_KAFKA_CONSUMER, conf, words,
								  sizeof(words));

	if (rk == NULL)
	{
		bool		invalid = rd_kafka_last_error() == RD_KAFKA_RESP_ERR__INVALID_ARG;

		strm_kafka_failure_set(failure, NULL, rd_kafka_last_error(), words, "librdkafka takes no such properties");
		failure->sqlstate = invalid ? ERRCODE_INVALID_PARAMETER_VALUE : ERRCODE_INSUFFICIENT_RESOURCES;
		failure->temporary = !invalid;
		rd_kafka_conf_destroy(conf);
		return NULL;
	}
	if (strm_kafka_uses_tokens(rk))
		rd_kafka_error_destroy(rd_kafka_sasl_background_callbacks_enable(rk));
	return rk;
}

rd_kafka_t *
strm_kafka_producer(const StrmSinkConfig *config)
{
	StrmKafkaFailure failure;
	rd_kafka_t *rk = strm_kafka_new(strm_kafka_conf(config, STRM_KAFKA_PRODUCER), STRM_KAFKA_PRODUCER, &failure);

	if (rk == NULL)
		strm_kafka_raise(config, &failure);
	return rk;
}

void
strm_kafka_raise(const StrmSinkConfig *config, const StrmKafkaFailure *failure)
{
	ereport(ERROR,
			(errcode(failure->sqlstate),
			 errmsg("%s: %s", config->label, failure->message),
			 failure->hint != NULL ? errhint("%s", failure->hint) : 0));
}
