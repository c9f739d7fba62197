/*
 * kafka_property.c
 *	  The list of librdkafka's properties that a Kafka cluster's definition may have.
 *
 *	  Everything else is refused, as librdkafka runs in the server: some properties name files, libraries and commands,
 *	  which it would read, load and run as the server's user. Nor may a definition take away what delivery depends on.
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "utils/builtins.h"

#include "export/kafka_property.h"
#include "strm_privacy.h"

#define STRM_KAFKA_TEXT_MAX 1000
#define STRM_KAFKA_PEM_MAX 65536

#define TUNING_INTEGER(name, min, max) {name, STRM_KAFKA_INTEGER, STRM_KAFKA_TUNING, 0, false, false, false, min, max}

static const StrmKafkaProperty properties[] = {
	/* who and how safely */
	{"security.protocol", STRM_KAFKA_CHOICE, STRM_KAFKA_SECURITY, STRM_KAFKA_PROTOCOL, .destination = true,
	.choices = "plaintext ssl sasl_plaintext sasl_ssl"},
	{"sasl.mechanism", STRM_KAFKA_CHOICE, STRM_KAFKA_SECURITY, STRM_KAFKA_MECHANISM, .destination = true,
	.choices = "PLAIN SCRAM-SHA-256 SCRAM-SHA-512 OAUTHBEARER"},
	{"sasl.mechanisms", STRM_KAFKA_CHOICE, STRM_KAFKA_SECURITY, STRM_KAFKA_MECHANISM, .destination = true,
	.choices = "PLAIN SCRAM-SHA-256 SCRAM-SHA-512 OAUTHBEARER"},
	{"sasl.username", STRM_KAFKA_TEXT, STRM_KAFKA_SECURITY, STRM_KAFKA_USERNAME},
	{"sasl.password", STRM_KAFKA_TEXT, STRM_KAFKA_SECURITY, STRM_KAFKA_PASSWORD, .secret = true},
	{"sasl.oauthbearer.method", STRM_KAFKA_CHOICE, STRM_KAFKA_SECURITY, STRM_KAFKA_OAUTH_METHOD,
	.choices = "default oidc"},
	{"sasl.oauthbearer.token.endpoint.url", STRM_KAFKA_URL, STRM_KAFKA_SECURITY, STRM_KAFKA_OAUTH_URL,
	.destination = true},
	{"sasl.oauthbearer.client.id", STRM_KAFKA_TEXT, STRM_KAFKA_SECURITY, STRM_KAFKA_OAUTH_CLIENT},
	{"sasl.oauthbearer.client.secret", STRM_KAFKA_TEXT, STRM_KAFKA_SECURITY, STRM_KAFKA_OAUTH_SECRET, .secret = true},
	{"sasl.oauthbearer.scope", STRM_KAFKA_TEXT, STRM_KAFKA_SECURITY},
	{"sasl.oauthbearer.extensions", STRM_KAFKA_EXTENSIONS, STRM_KAFKA_SECURITY},
	{"https.ca.pem", STRM_KAFKA_PEM, STRM_KAFKA_SECURITY, STRM_KAFKA_OAUTH_CA, .destination = true},
	{"sasl.oauthbearer.config", STRM_KAFKA_TEXT, STRM_KAFKA_SECURITY, STRM_KAFKA_OAUTH_CONFIG, .trusted = true},
	{"enable.sasl.oauthbearer.unsecure.jwt", STRM_KAFKA_BOOLEAN, STRM_KAFKA_SECURITY, STRM_KAFKA_OAUTH_UNSIGNED,
	.trusted = true},
	{"ssl.ca.pem", STRM_KAFKA_PEM, STRM_KAFKA_SECURITY, STRM_KAFKA_CA, .destination = true},
	{"ssl.certificate.pem", STRM_KAFKA_PEM, STRM_KAFKA_SECURITY, STRM_KAFKA_CERTIFICATE},
	{"ssl.key.pem", STRM_KAFKA_PEM_KEY, STRM_KAFKA_SECURITY, STRM_KAFKA_KEY, .secret = true},
	{"ssl.key.password", STRM_KAFKA_TEXT, STRM_KAFKA_SECURITY, STRM_KAFKA_KEY_PASSWORD, .secret = true},
	{"ssl.cipher.suites", STRM_KAFKA_CIPHERS, STRM_KAFKA_SECURITY, .destination = true},
	{"ssl.endpoint.identification.algorithm", STRM_KAFKA_CHOICE, STRM_KAFKA_SECURITY, .choices = "https"},
	{"enable.ssl.certificate.verification", STRM_KAFKA_CHOICE, STRM_KAFKA_SECURITY, .choices = "true"},
	/* batches */
	{"compression.type", STRM_KAFKA_CHOICE, STRM_KAFKA_TUNING, STRM_KAFKA_COMPRESSION,
	.choices = "none gzip snappy lz4 zstd"},
	{"compression.codec", STRM_KAFKA_CHOICE, STRM_KAFKA_TUNING, STRM_KAFKA_COMPRESSION,
	.choices = "none gzip snappy lz4 zstd"},
	TUNING_INTEGER("compression.level", -1, 12),
	{"linger.ms", STRM_KAFKA_INTEGER, STRM_KAFKA_TUNING, STRM_KAFKA_LINGER, .min = 0, .max = 60000},
	{"queue.buffering.max.ms", STRM_KAFKA_INTEGER, STRM_KAFKA_TUNING, STRM_KAFKA_LINGER, .min = 0, .max = 60000},
	TUNING_INTEGER("batch.size", 1, 16777216),
	TUNING_INTEGER("batch.num.messages", 1, 1000000),
	TUNING_INTEGER("message.max.bytes", 1000, 104857600),
	/* connections and patience */
	{"client.id", STRM_KAFKA_TEXT, STRM_KAFKA_TUNING},
	{"broker.address.family", STRM_KAFKA_CHOICE, STRM_KAFKA_TUNING, .choices = "any v4 v6"},
	TUNING_INTEGER("socket.timeout.ms", 10, 300000),
	{"socket.keepalive.enable", STRM_KAFKA_BOOLEAN, STRM_KAFKA_TUNING},
	{"socket.nagle.disable", STRM_KAFKA_BOOLEAN, STRM_KAFKA_TUNING},
	TUNING_INTEGER("socket.connection.setup.timeout.ms", 1000, 300000),
	TUNING_INTEGER("connections.max.idle.ms", 0, PG_INT32_MAX),
	TUNING_INTEGER("request.timeout.ms", 1000, 900000),
	TUNING_INTEGER("retry.backoff.ms", 1, 300000),
	{"reconnect.backoff.ms", STRM_KAFKA_INTEGER, STRM_KAFKA_TUNING, STRM_KAFKA_BACKOFF, .min = 1, .max = 3600000},
	{"reconnect.backoff.max.ms", STRM_KAFKA_INTEGER, STRM_KAFKA_TUNING, STRM_KAFKA_BACKOFF_MAX, .min = 1,
	.max = 3600000},
	TUNING_INTEGER("metadata.max.age.ms", 1000, 86400000),
	TUNING_INTEGER("topic.metadata.refresh.interval.ms", 1000, 3600000),
	TUNING_INTEGER("transaction.timeout.ms", 1000, 900000),
	/* ours */
	{"schema.registry.url", STRM_KAFKA_URL, STRM_KAFKA_REGISTRY, STRM_KAFKA_REGISTRY_URL, .destination = true},
	{"schema.registry.basic.auth.user.info", STRM_KAFKA_TEXT, STRM_KAFKA_REGISTRY, STRM_KAFKA_REGISTRY_USER,
	.secret = true},
	{"schema.registry.ssl.ca.pem", STRM_KAFKA_PEM, STRM_KAFKA_REGISTRY, STRM_KAFKA_REGISTRY_CA, .destination = true},
};

/* Why: the first row that fits. * at either end of a name stands for anything. */
static const struct
{
	const char *name;
	const char *why;
}			refusals[] = {
	{"plugin.library.paths", "it loads libraries into the server"},
	{"sasl.kerberos.*", "it runs commands and reads files of the server"},
	{"ssl.engine*", "it loads libraries into the server"},
	{"ssl.provider*", "it loads libraries into the server"},
	{"ssl.keystore.*", "it names a file of the server: give PEM texts in ssl.certificate.pem and ssl.key.pem"},
	{"ssl.truststore.*", "it names a file of the server: give PEM texts in ssl.ca.pem"},
	{"ssl.ca.certificate.stores", "it names certificates of the machine: give PEM texts in ssl.ca.pem"},
	{"ssl.certificate.verify_cb", "it is a function"},
	{"sasl.oauthbearer.assertion*", "it names files of the server"},
	{"sasl.jaas.config", "it names classes of Java clients: use sasl.username and sasl.password"},
	{"*.location", "it names a file of the server: give the text itself in a property that ends in .pem"},
	{"*.file", "it names a file of the server"},
	{"*.path", "it names a file of the server"},
	{"*.cmd", "it runs a command on the server"},
	{"*_cb", "it is a function"},
	{"*.class", "it names a class of Java clients"},
	{"enable.idempotence", "delivery depends on it, and it is always on"},
	{"acks", "delivery depends on it, and it is always all"},
	{"request.required.acks", "delivery depends on it, and it is always all"},
	{"message.timeout.ms", "delivery depends on it: exporters wait as long as it takes"},
	{"delivery.timeout.ms", "delivery depends on it: exporters wait as long as it takes"},
	{"retries", "delivery depends on it: exporters try as long as it takes"},
	{"message.send.max.retries", "delivery depends on it: exporters try as long as it takes"},
	{"max.in.flight*", "the order of events depends on it"},
	{"partitioner*", "the order of events depends on it: the partition is chosen by the key link"},
	{"sticky.partitioning.linger.ms", "the order of events depends on it: the partition is chosen by the key link"},
	{"queuing.strategy", "the order of events depends on it"},
	{"msg_order_cmp", "the order of events depends on it"},
	{"transactional.id", "delivery depends on it: it is made of the exporter's id"},
	{"enable.gapless.guarantee", "delivery depends on it"},
	{"queue.*", "memory and delivery depend on it"},
	{"delivery.report.only.error", "delivery depends on it"},
	{"produce.offset.report", "delivery depends on it"},
	{"test.mock*", "an embedded broker is had by bootstrap_servers 'embedded'"},
	{"bootstrap.servers", "brokers are given in bootstrap_servers"},
	{"metadata.broker.list", "brokers are given in bootstrap_servers"},
	{"client.dns.lookup", "it changes which addresses are reached"},
	{"allow.auto.create.topics", "topics are made by strm.create_kafka_exporter()"},
	{"debug", "what it logs may hold secrets and contents"},
	{"log_level", "the log is the extension's"},
	{"log.*", "the log is the extension's"},
	{"opaque", "it is a pointer"},
	{"default_topic_conf", "it is a pointer"},
	{"group.*", "it is for consumers"},
	{"auto.*", "it is for consumers"},
	{"enable.auto.*", "it is for consumers"},
	{"fetch.*", "it is for consumers"},
	{"isolation.level", "it is for consumers"},
};

const StrmKafkaProperty *
strm_kafka_property(const char *name)
{
	for (int i = 0; i < lengthof(properties); i++)
	{
		if (strcmp(properties[i].name, name) == 0)
			return &properties[i];
	}
	return NULL;
}

const StrmKafkaProperty *
strm_kafka_property_at(int i)
{
	return i < lengthof(properties) ? &properties[i] : NULL;
}

/* Does a name fit a pattern with * at one of its ends? */
static bool
strm_kafka_property_fits(const char *name, const char *pattern)
{
	size_t		size = strlen(pattern);
	size_t		length = strlen(name);

	if (pattern[0] == '*')
		return length >= size - 1 && strcmp(name + length - (size - 1), pattern + 1) == 0;
	if (pattern[size - 1] == '*')
		return strncmp(name, pattern, size - 1) == 0;
	return strcmp(name, pattern) == 0;
}

const char *
strm_kafka_property_refusal(const char *name)
{
	for (int i = 0; i < lengthof(refusals); i++)
	{
		if (strm_kafka_property_fits(name, refusals[i].name))
			return refusals[i].why;
	}
	return "there is no such property, or it is not for exporters";
}

/* Is value among the choices, separated by spaces? */
static bool
strm_kafka_property_is_choice(const char *choices, const char *value)
{
	size_t		size = strlen(value);

	for (const char *p = choices; *p != '\0';)
	{
		size_t		length = strcspn(p, " ");

		if (length == size && pg_strncasecmp(p, value, size) == 0)
			return true;
		p += length;
		p += strspn(p, " ");
	}
	return false;
}

static bool
strm_kafka_property_is_text(const char *value)
{
	int			length = pg_mbstrlen(value);

	for (const char *p = value; *p != '\0'; p++)
	{
		if ((unsigned char) *p < 0x20 || *p == 0x7f)
			return false;
	}
	return length >= 1 && length <= STRM_KAFKA_TEXT_MAX;
}

/* Extensions of a token as RFC 7628 has them, but for what separates them here. */
static bool
strm_kafka_property_is_extensions(const char *value)
{
	int			n = 0;

	if (!strm_kafka_property_is_text(value))
		return false;
	for (const char *p = value;; p++)
	{
		size_t		name = strspn(p, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz");

		/* the name that the token itself has */
		if (name == 0 || p[name] != '=' || (name == 4 && strncmp(p, "auth", 4) == 0) || ++n > 16)
			return false;
		for (p += name; *p != '\0' && *p != ','; p++)
		{
			if ((unsigned char) *p > '~')
				return false;
		}
		if (*p == '\0')
			return true;
	}
}

static bool
strm_kafka_property_is_integer(const char *value, int64 min, int64 max)
{
	char	   *end;
	int64		number;

	errno = 0;
	number = strtoi64(value, &end, 10);
	return errno == 0 && end != value && *end == '\0' && number >= min && number <= max &&
		(value[0] == '-' || (value[0] >= '0' && value[0] <= '9'));
}

/* PEM blocks; private: of a key, which must not be elsewhere. */
static bool
strm_kafka_property_is_pem(const char *value, bool private)
{
	return strlen(value) <= STRM_KAFKA_PEM_MAX && strstr(value, "-----BEGIN ") != NULL &&
		strstr(value, "-----END ") != NULL && (strstr(value, "PRIVATE KEY-----") != NULL) == private;
}

/* Suites with a signed key exchange, by OpenSSL's names: no words, which could bring in suites without encryption. */
static bool
strm_kafka_property_is_ciphers(const char *value)
{
	const char *p = value;

	for (;;)
	{
		size_t		size = strcspn(p, ":");

		if (size < 8 || size > 60 || (strncmp(p, "ECDHE-", 6) != 0 && strncmp(p, "DHE-", 4) != 0) ||
			strspn(p, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-") != size)
			return false;
		if (p[size] == '\0')
			return strstr(value, "NULL") == NULL && strstr(value, "-RC4-") == NULL && strstr(value, "DES-") == NULL;
		p += size + 1;
	}
}

/* What a value that is none of the property's should be; NULL: it is one. */
static char *
strm_kafka_property_fault(const StrmKafkaProperty *property, const char *value)
{
	bool		ignored;

	switch (property->type)
	{
		case STRM_KAFKA_TEXT:
			return strm_kafka_property_is_text(value) ? NULL
				: psprintf("must have 1 to %d characters, none of them a control character", STRM_KAFKA_TEXT_MAX);
		case STRM_KAFKA_CHOICE:
			return strm_kafka_property_is_choice(property->choices, value) ? NULL
				: psprintf(strchr(property->choices, ' ') != NULL ? "must be one of: %s" : "must be %s",
						   property->choices);
		case STRM_KAFKA_INTEGER:
			return strm_kafka_property_is_integer(value, property->min, property->max) ? NULL
				: psprintf("must be an integer from " INT64_FORMAT " to " INT64_FORMAT, property->min, property->max);
		case STRM_KAFKA_BOOLEAN:
			return parse_bool(value, &ignored) && strm_kafka_property_is_choice("true false", value) ? NULL
				: pstrdup("must be true or false");
		case STRM_KAFKA_PEM:
			return strm_kafka_property_is_pem(value, false) ? NULL
				: pstrdup("must be the text of certificates in PEM form, without a private key");
		case STRM_KAFKA_PEM_KEY:
			return strm_kafka_property_is_pem(value, true) ? NULL
				: pstrdup("must be the text of a private key in PEM form");
		case STRM_KAFKA_EXTENSIONS:
			return strm_kafka_property_is_extensions(value) ? NULL
				: pstrdup("must be name=value, or up to 16 of them with commas between, names of letters, not auth");
		case STRM_KAFKA_CIPHERS:
			return strm_kafka_property_is_ciphers(value) ? NULL
				: pstrdup("must be OpenSSL's names of cipher suites with ECDHE- or DHE-, separated by colons");
		case STRM_KAFKA_URL:
			break;
	}
	return NULL;
}

void
strm_kafka_property_check(const StrmKafkaProperty *property, const char *value, bool trusted, StrmFaults *faults)
{
	char	   *fault = strm_kafka_property_fault(property, value);

	if (property->trusted && !trusted)
		strm_faults_add(faults, "%s is for clusters made by an administrator", property->name);
	else if (property->type == STRM_KAFKA_URL)
		strm_kafka_url_check(value, property->name, trusted, faults);
	else if (fault != NULL)
		strm_faults_add(faults, "%s %s", property->name, fault);
}
