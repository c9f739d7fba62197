/*
 * kafka_config.c
 *	  Properties of a Kafka cluster: checked when they are given, split into what everybody may see and secrets, and put
 *	  together for a sink.
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/memutils.h"

#include "common/secret.h"
#include "export/exporter.h"
#include "export/kafka_property.h"
#include "keys/wrapped_json.h"
#include "strm_privacy.h"

/* Properties that are not librdkafka's but ours begin with this. */
#define STRM_KAFKA_OWN_PREFIX "schema.registry."

/* librdkafka's, and what sinks say instead of librdkafka's */
#define STRM_KAFKA_BACKOFF_DEFAULT 100
#define STRM_KAFKA_BACKOFF_MAX_DEFAULT 5000

/* Told to librdkafka whatever the definition says. */
static const StrmSinkProperty fixed[] = {
	{"enable.ssl.certificate.verification", "true"},
	{"ssl.endpoint.identification.algorithm", "https"},
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

/* A value as librdkafka takes it, in memory that is wiped: of all choices it knows mechanisms in upper case only. */
static char *
strm_kafka_properties_text(const char *name, const JsonbValue *value)
{
	char	   *text = strm_kafka_config_text(value);
	const StrmKafkaProperty *property = strm_kafka_property(name);

	if (property != NULL && property->id == STRM_KAFKA_MECHANISM)
	{
		for (char *c = text; *c != '\0'; c++)
			*c = pg_ascii_toupper((unsigned char) *c);
	}
	return text;
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
		{
			name = pnstrdup(value.val.string.val, value.val.string.len);
			/* sinks take no other name of that kind */
			if (strcmp(name, "queue.buffering.max.ms") == 0)
				name = pstrdup("linger.ms");
		}
		else if (token == WJB_VALUE && strncmp(name, STRM_KAFKA_OWN_PREFIX, strlen(STRM_KAFKA_OWN_PREFIX)) != 0)
			strm_kafka_properties_put(properties, n, name, strm_kafka_properties_text(name, &value));
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

/* What is known of a definition while it is checked. */
typedef struct StrmKafkaChecking
{
	StrmFaults *faults;
	bool		embedded;
	bool		trusted;
	const char *values[STRM_KAFKA_NIDS];	/* of properties that others depend on; NULL: not given */
	JsonbParseState *plain;
	JsonbParseState *secrets;
	int			nsecrets;
} StrmKafkaChecking;

/* Checks one property, and puts it where it belongs. */
static void
strm_kafka_check_property(StrmKafkaChecking *checking, JsonbValue *key, JsonbValue *value)
{
	char	   *name = pnstrdup(key->val.string.val, key->val.string.len);
	const StrmKafkaProperty *property = strm_kafka_property(name);
	char	   *text;

	if (property == NULL)
	{
		strm_faults_add(checking->faults, "%s may not be set: %s", name, strm_kafka_property_refusal(name));
		return;
	}
	if (value->type != jbvString && value->type != jbvNumeric && value->type != jbvBool)
	{
		strm_faults_add(checking->faults, "%s must be a string, a number or a boolean", name);
		return;
	}
	text = strm_kafka_config_text(value);
	if (checking->embedded && property->use == STRM_KAFKA_SECURITY)
		strm_faults_add(checking->faults, "%s may not be set: an embedded broker has no such thing", name);
	else if (property->id != STRM_KAFKA_OTHER && checking->values[property->id] != NULL)
		strm_faults_add(checking->faults, "%s is given twice, by two names", name);
	else
		strm_kafka_property_check(property, text, checking->trusted, checking->faults);
	checking->values[property->id] = text;
	pushJsonbValue(property->secret ? &checking->secrets : &checking->plain, WJB_KEY, key);
	pushJsonbValue(property->secret ? &checking->secrets : &checking->plain, WJB_VALUE, value);
	checking->nsecrets += property->secret ? 1 : 0;
}

/* A fault when a property is given without another one that it is nothing without. */
static void
strm_kafka_check_needs(StrmKafkaChecking *checking, StrmKafkaPropertyId id, const char *name,
					   StrmKafkaPropertyId needed, const char *needed_name)
{
	if (checking->values[id] != NULL && checking->values[needed] == NULL)
		strm_faults_add(checking->faults, "%s needs %s", name, needed_name);
}

/* Has the property that value, in any case? */
static bool
strm_kafka_check_is(const StrmKafkaChecking *checking, StrmKafkaPropertyId id, const char *value)
{
	return checking->values[id] != NULL && pg_strcasecmp(checking->values[id], value) == 0;
}

/* Logging in by a token. */
static void
strm_kafka_check_oauth(StrmKafkaChecking *checking)
{
	if (strm_kafka_check_is(checking, STRM_KAFKA_OAUTH_METHOD, "oidc"))
	{
		if (checking->values[STRM_KAFKA_OAUTH_URL] == NULL || checking->values[STRM_KAFKA_OAUTH_CLIENT] == NULL ||
			checking->values[STRM_KAFKA_OAUTH_SECRET] == NULL)
			strm_faults_add(checking->faults, "sasl.oauthbearer.method oidc needs sasl.oauthbearer.token.endpoint.url,"
							" sasl.oauthbearer.client.id and sasl.oauthbearer.client.secret");
	}
	else if (!strm_kafka_check_is(checking, STRM_KAFKA_OAUTH_UNSIGNED, "true"))
		strm_faults_add(checking->faults, "sasl.mechanism OAUTHBEARER needs sasl.oauthbearer.method oidc");
}

/* What depends on how clients log in. */
static void
strm_kafka_check_sasl(StrmKafkaChecking *checking)
{
	bool		clear = strm_kafka_check_is(checking, STRM_KAFKA_PROTOCOL, "sasl_plaintext");
	bool		sasl = clear || strm_kafka_check_is(checking, STRM_KAFKA_PROTOCOL, "sasl_ssl");
	bool		oauth = strm_kafka_check_is(checking, STRM_KAFKA_MECHANISM, "OAUTHBEARER");

	if (!sasl)
	{
		if (checking->values[STRM_KAFKA_MECHANISM] != NULL || checking->values[STRM_KAFKA_USERNAME] != NULL ||
			checking->values[STRM_KAFKA_PASSWORD] != NULL || checking->values[STRM_KAFKA_OAUTH_SECRET] != NULL)
			strm_faults_add(checking->faults, "sasl properties need security.protocol sasl_ssl or sasl_plaintext");
		return;
	}
	if (checking->values[STRM_KAFKA_MECHANISM] == NULL)
		strm_faults_add(checking->faults, "security.protocol sasl_ssl and sasl_plaintext need sasl.mechanism");
	else if (oauth)
		strm_kafka_check_oauth(checking);
	else if (checking->values[STRM_KAFKA_USERNAME] == NULL || checking->values[STRM_KAFKA_PASSWORD] == NULL)
		strm_faults_add(checking->faults, "this sasl.mechanism needs sasl.username and sasl.password");
	if (clear && !checking->trusted && (oauth || strm_kafka_check_is(checking, STRM_KAFKA_MECHANISM, "PLAIN")))
		strm_faults_add(checking->faults,
						"this sasl.mechanism sends secrets in clear without TLS, which is for clusters made by an"
						" administrator: use security.protocol sasl_ssl");
}

/* What depends on several properties. */
static void
strm_kafka_check_together(StrmKafkaChecking *checking)
{
	const char *protocol = checking->values[STRM_KAFKA_PROTOCOL];
	const char *first = checking->values[STRM_KAFKA_BACKOFF];
	const char *last = checking->values[STRM_KAFKA_BACKOFF_MAX];

	if (!checking->embedded)
		strm_kafka_check_sasl(checking);
	if ((checking->values[STRM_KAFKA_CA] != NULL || checking->values[STRM_KAFKA_CERTIFICATE] != NULL) &&
		(protocol == NULL || (pg_strcasecmp(protocol, "ssl") != 0 && pg_strcasecmp(protocol, "sasl_ssl") != 0)))
		strm_faults_add(checking->faults, "ssl properties need security.protocol ssl or sasl_ssl");
	strm_kafka_check_needs(checking, STRM_KAFKA_CERTIFICATE, "ssl.certificate.pem", STRM_KAFKA_KEY, "ssl.key.pem");
	strm_kafka_check_needs(checking, STRM_KAFKA_KEY, "ssl.key.pem", STRM_KAFKA_CERTIFICATE, "ssl.certificate.pem");
	strm_kafka_check_needs(checking, STRM_KAFKA_KEY_PASSWORD, "ssl.key.password", STRM_KAFKA_KEY, "ssl.key.pem");
	strm_kafka_check_needs(checking, STRM_KAFKA_OAUTH_CA, "https.ca.pem",
						   STRM_KAFKA_OAUTH_URL, "sasl.oauthbearer.token.endpoint.url");
	strm_kafka_check_needs(checking, STRM_KAFKA_REGISTRY_USER, "schema.registry.basic.auth.user.info",
						   STRM_KAFKA_REGISTRY_URL, "schema.registry.url");
	strm_kafka_check_needs(checking, STRM_KAFKA_REGISTRY_CA, "schema.registry.ssl.ca.pem",
						   STRM_KAFKA_REGISTRY_URL, "schema.registry.url");
	if ((first != NULL ? atoi(first) : STRM_KAFKA_BACKOFF_DEFAULT) >
		(last != NULL ? atoi(last) : STRM_KAFKA_BACKOFF_MAX_DEFAULT))
		strm_faults_add(checking->faults, "reconnect.backoff.ms (%d by default) must not be greater than"
						" reconnect.backoff.max.ms (%d by default)", STRM_KAFKA_BACKOFF_DEFAULT,
						STRM_KAFKA_BACKOFF_MAX_DEFAULT);
}

/* A copy of what was collected, in memory that is wiped. */
static Jsonb *
strm_kafka_check_take(JsonbParseState **state)
{
	Jsonb	   *object = JsonbValueToJsonb(pushJsonbValue(state, WJB_END_OBJECT, NULL));
	Jsonb	   *copy = strm_secret_alloc(CurrentMemoryContext, VARSIZE(object));

	memcpy(copy, object, VARSIZE(object));
	strm_secret_wipe(object, VARSIZE(object));
	return copy;
}

void
strm_kafka_config_check(const char *servers, Jsonb *config, bool trusted, StrmFaults *faults,
						Jsonb **plain, Jsonb **secrets)
{
	StrmKafkaChecking checking = {.faults = faults, .trusted = trusted};
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue	key;
	JsonbValue	value;

	checking.embedded = strcmp(servers, STRM_KAFKA_EMBEDDED) == 0;
	strm_kafka_servers_check(servers, trusted, faults);
	pushJsonbValue(&checking.plain, WJB_BEGIN_OBJECT, NULL);
	pushJsonbValue(&checking.secrets, WJB_BEGIN_OBJECT, NULL);
	if (!JB_ROOT_IS_OBJECT(config))
		strm_faults_add(faults, "config must be a JSON object");
	else
	{
		iterator = JsonbIteratorInit(&config->root);
		while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
		{
			if (token == WJB_KEY)
				key = value;
			else if (token == WJB_VALUE && value.type != jbvNull)
				strm_kafka_check_property(&checking, &key, &value);
		}
		strm_kafka_check_together(&checking);
	}
	*plain = strm_kafka_check_take(&checking.plain);
	*secrets = strm_kafka_check_take(&checking.secrets);
	if (checking.nsecrets == 0)
		*secrets = NULL;
}

/* The text of a property of an object; NULL: it has none. Synonyms are different properties here. */
static const char *
strm_kafka_config_value(Jsonb *object, const char *name)
{
	JsonbValue	value;

	if (getKeyJsonValueFromContainer(&object->root, name, strlen(name), &value) == NULL || value.type == jbvNull)
		return NULL;
	return strm_kafka_config_text(&value);
}

const char *
strm_kafka_config_redirect(const char *servers_before, Jsonb *before, const char *servers, Jsonb *after, bool login)
{
	const StrmKafkaProperty *property;

	if (strcmp(servers_before, servers) != 0)
		return "bootstrap_servers";
	for (int i = 0; (property = strm_kafka_property_at(i)) != NULL; i++)
	{
		const char *old = strm_kafka_config_value(before, property->name);
		const char *new = strm_kafka_config_value(after, property->name);

		if (!property->destination && !(login && property->use != STRM_KAFKA_TUNING))
			continue;
		if ((old == NULL) != (new == NULL) || (old != NULL && strcmp(old, new) != 0))
			return property->name;
	}
	return NULL;
}

bool
strm_kafka_config_has_registry(const StrmKafkaCluster *cluster)
{
	return strm_kafka_config_value(cluster->config, "schema.registry.url") != NULL;
}
