/*
 * kafka_config.c
 *	  What a Kafka cluster's definition may say of librdkafka's behaviour.
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/memutils.h"

#include "common/secret.h"
#include "export/exporter.h"
#include "keys/wrapped_json.h"
#include "strm_privacy.h"

/* Properties that are not librdkafka's but ours begin with this. */
#define STRM_KAFKA_OWN_PREFIX "schema.registry."

/* Told to librdkafka whatever the definition says. */
static const StrmSinkProperty fixed[] = {
	{"enable.ssl.certificate.verification", "true"},
	{"ssl.endpoint.identification.algorithm", "https"},
	{"allow.auto.create.topics", "false"},
};

/* The text of a value, in memory that is wiped. */
static char *
strm_kafka_config_text(const JsonbValue *value)
{
	const char *text;
	int			size;
	char	   *copy;

	switch (value->type)
	{
		case jbvString:
			text = value->val.string.val;
			size = value->val.string.len;
			break;
		case jbvNumeric:
			text = DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(value->val.numeric)));
			size = strlen(text);
			break;
		default:
			text = value->val.boolean ? "true" : "false";
			size = strlen(text);
			break;
	}
	copy = strm_secret_alloc(CurrentMemoryContext, size + 1);
	memcpy(copy, text, size);
	return copy;
}

static void
strm_kafka_properties_put(StrmSinkProperty *properties, int *n, const char *name, const char *value)
{
	for (int i = 0; i < *n; i++)
	{
		if (strcmp(properties[i].name, name) == 0)
		{
			properties[i].value = value;
			return;
		}
	}
	properties[*n].name = name;
	properties[*n].value = value;
	(*n)++;
}

/* Adds the members of an object, but not our own properties. */
static void
strm_kafka_properties_add(StrmSinkProperty *properties, int *n, Jsonb *object)
{
	JsonbIterator *iterator = JsonbIteratorInit(&object->root);
	JsonbIteratorToken token;
	JsonbValue	value;
	char	   *name = NULL;

	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			name = pnstrdup(value.val.string.val, value.val.string.len);
		else if (token == WJB_VALUE && strncmp(name, STRM_KAFKA_OWN_PREFIX, strlen(STRM_KAFKA_OWN_PREFIX)) != 0)
			strm_kafka_properties_put(properties, n, name, strm_kafka_config_text(&value));
	}
}

int
strm_kafka_properties(const StrmKafkaCluster *cluster, StrmSinkProperty **properties)
{
	Jsonb	   *secrets = NULL;
	/* client.id and bootstrap.servers, too */
	int			room = lengthof(fixed) + JB_ROOT_COUNT(cluster->config) + 2;
	int			n = 0;

	if (cluster->credentials != NULL)
	{
		secrets = strm_wrapped_json_open(STRM_SECRET_CREDENTIALS, &cluster->id, cluster->credentials);
		room += JB_ROOT_COUNT(secrets);
	}
	*properties = palloc0(room * sizeof(StrmSinkProperty));
	strm_kafka_properties_put(*properties, &n, "client.id", "strm_privacy");
	strm_kafka_properties_add(*properties, &n, cluster->config);
	if (secrets != NULL)
		strm_kafka_properties_add(*properties, &n, secrets);
	if (!cluster->embedded)
		strm_kafka_properties_put(*properties, &n, "bootstrap.servers", cluster->bootstrap_servers);
	for (int i = 0; i < lengthof(fixed); i++)
		strm_kafka_properties_put(*properties, &n, fixed[i].name, fixed[i].value);
	return n;
}
