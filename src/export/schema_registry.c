/*
 * schema_registry.c
 *	  The one call of Confluent's Schema Registry that a producer needs, which others (Apicurio, Karapace, Redpanda)
 *	  offer too: POST /subjects/<subject>/versions
 *	  (https://docs.confluent.io/platform/current/schema-registry/develop/api.html).
 *
 *	  It may be repeated: a registry answers the id that the schema has already. Of errors only status and error_code
 *	  are shown, for messages come from outside.
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/memutils.h"

#include "common/secret.h"
#include "connect/http.h"
#include "contract/document.h"
#include "crypto/base64.h"
#include "export/schema_registry.h"
#include "guc/guc.h"
#include "keys/wrapped_json.h"
#include "strm_privacy.h"

#define STRM_REGISTRY_URL "schema.registry.url"
#define STRM_REGISTRY_USER_INFO "schema.registry.basic.auth.user.info"
#define STRM_REGISTRY_CA "schema.registry.ssl.ca.pem"
#define STRM_REGISTRY_TIME 10000	/* milliseconds: other exporters of the worker wait meanwhile */
#define STRM_REGISTRY_TYPE "application/vnd.schemaregistry.v1+json"

char *
strm_schema_registry_subject(const char *topic)
{
	return psprintf("%s-value", topic);
}

/* A property, in memory that is wiped, or NULL. */
static char *
strm_schema_registry_property(Jsonb *properties, const char *name)
{
	JsonbValue	value;

	if (getKeyJsonValueFromContainer(&properties->root, name, strlen(name), &value) == NULL ||
		value.type != jbvString)
		return NULL;
	return memcpy(strm_secret_alloc(CurrentMemoryContext, value.val.string.len + 1), value.val.string.val,
				  value.val.string.len);
}

/* Logs the request in (RFC 7617), if the cluster has a user for that. */
static void
strm_schema_registry_authorize(const StrmKafkaCluster *cluster, StrmHttpRequest *request)
{
	static const char scheme[] = "Basic ";
	StrmHttpHeader *header = palloc(sizeof(StrmHttpHeader));
	Jsonb	   *secrets;
	char	   *user_info;
	Size		size;

	if (cluster->credentials == NULL)
		return;
	secrets = strm_wrapped_json_open(STRM_SECRET_CREDENTIALS, &cluster->id, cluster->credentials);
	user_info = strm_schema_registry_property(secrets, STRM_REGISTRY_USER_INFO);
	if (user_info == NULL)
		return;
	size = strlen(user_info);
	header->name = "authorization";
	header->value = strm_secret_alloc(CurrentMemoryContext, sizeof(scheme) + STRM_BASE64_SIZE(size));
	memcpy(header->value, scheme, sizeof(scheme));
	strm_base64_encode((const uint8_t *) user_info, size, header->value + strlen(scheme));
	request->headers = lappend(request->headers, header);
}

/* A number of the answer, when it is one of int's range that is not negative; else -1. */
static int32
strm_schema_registry_number(const StrmHttpResponse *response, const char *name)
{
	StrmFaults	faults;
	Jsonb	   *answer;
	JsonbValue	value;
	int64		number;

	strm_faults_init(&faults);
	answer = strm_document_parse(&faults, response->body, "the answer");
	if (answer == NULL || !JB_ROOT_IS_OBJECT(answer) ||
		getKeyJsonValueFromContainer(&answer->root, name, strlen(name), &value) == NULL ||
		value.type != jbvNumeric || !strm_document_integer(&value, PG_INT32_MAX, &number))
		return -1;
	return (int32) number;
}

/* Raises what an answer that is no success means. */
pg_noreturn static void
strm_schema_registry_raise(const StrmKafkaCluster *cluster, const char *subject, const StrmHttpResponse *response)
{
	int32		code = strm_schema_registry_number(response, "error_code");
	char	   *why = psprintf("the registry answered %d%s%s", response->status,
							   code < 0 ? "" : psprintf(", error code %d", code),
							   response->status / 100 == 3 ? ", and redirects are not followed" : "");

	if (response->status == 409)
		ereport(ERROR, errcode(STRM_ERR_ARGUMENT),
				errmsg("the Schema Registry of Kafka cluster \"%s\" finds the schema of subject \"%s\" incompatible: %s",
					   cluster->name, subject, why),
				errhint("The subject has schemas of something else: use another topic, or change the subject's compatibility."));
	if (response->status == 401 || response->status == 403)
		ereport(ERROR, errcode(STRM_ERR_REFUSED),
				errmsg("the Schema Registry of Kafka cluster \"%s\" does not let subject \"%s\" be written: %s",
					   cluster->name, subject, why),
				errhint("Check %s of the Kafka cluster, and what that user may do.", STRM_REGISTRY_USER_INFO));
	ereport(ERROR, errcode(STRM_ERR_STORE),
			errmsg("could not register the schema of subject \"%s\" in the Schema Registry of Kafka cluster \"%s\": %s",
				   subject, cluster->name, why));
}

/* The address of a subject's versions. */
static char *
strm_schema_registry_url(const char *base, const char *subject)
{
	StringInfoData url;
	int			size = strlen(base);

	while (size > 0 && base[size - 1] == '/')
		size--;
	initStringInfo(&url);
	appendBinaryStringInfo(&url, base, size);
	appendStringInfoString(&url, "/subjects/");
	strm_http_encode(&url, subject, false);
	appendStringInfoString(&url, "/versions");
	return url.data;
}

/* The call itself, in a memory context of its own. */
static int32
strm_schema_registry_post(const StrmKafkaCluster *cluster, const char *subject, const char *schema)
{
	const char *base = strm_schema_registry_property(cluster->config, STRM_REGISTRY_URL);
	StrmHttpPeer peer = {.kind = "Schema Registry of Kafka cluster"};
	StrmHttpRequest request = {.verb = "reach the", .method = "POST"};
	StrmHttpResponse *response;
	StringInfoData body;
	int32		id;

	if (base == NULL)
		ereport(ERROR, errcode(STRM_ERR_ARGUMENT),
				errmsg("Kafka cluster \"%s\" has no Schema Registry", cluster->name),
				errhint("Format avro needs property %s.", STRM_REGISTRY_URL));
	peer.name = cluster->name;
	peer.trusted = cluster->trusted;
	peer.ca = strm_schema_registry_property(cluster->config, STRM_REGISTRY_CA);
	peer.limit = Min(strm_connector_timeout * 1000, STRM_REGISTRY_TIME);

	initStringInfo(&body);
	appendStringInfoString(&body, "{\"schema\":");
	escape_json(&body, schema);
	appendStringInfoChar(&body, '}');
	request.url = strm_schema_registry_url(base, subject);
	request.body = body.data;
	request.body_size = body.len;
	strm_http_add_header(&request.headers, "content-type", "%s", STRM_REGISTRY_TYPE);
	strm_http_add_header(&request.headers, "accept", "%s", STRM_REGISTRY_TYPE ", application/json");
	strm_schema_registry_authorize(cluster, &request);

	response = strm_http_call(strm_http_open_peer(&peer), &request);
	if (!strm_http_succeeded(response))
		strm_schema_registry_raise(cluster, subject, response);
	id = strm_schema_registry_number(response, "id");
	if (id < 0)
		ereport(ERROR, errcode(STRM_ERR_STORE),
				errmsg("the answer of the Schema Registry of Kafka cluster \"%s\" has no schema id", cluster->name));
	return id;
}

int32
strm_schema_registry_register(const StrmKafkaCluster *cluster, const char *subject, const char *schema)
{
	MemoryContext cxt = AllocSetContextCreate(CurrentMemoryContext, "strm schema registry", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(cxt);
	int32		id;

	id = strm_schema_registry_post(cluster, subject, schema);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(cxt);
	return id;
}
