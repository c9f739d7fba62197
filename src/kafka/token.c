/*
 * token.c
 *	  Logging in with OAUTHBEARER and OIDC. See token.h.
 *
 *	  librdkafka asks for a token when it connects, and again at four fifths of its life, in a thread of its own. There
 *	  is no way to give that thread anything but a text, sasl.oauthbearer.config: so that holds what it needs, a line
 *	  each, in the order of StrmKafkaTokenLine. The address check is the handle's opaque pointer, as for brokers.
 */
#include "postgres.h"

#include <curl/curl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "lib/stringinfo.h"

#include "kafka/token.h"
#include "kafka/token_answer.h"

#define STRM_KAFKA_TOKEN_TIMEOUT 10 /* seconds */
#define STRM_KAFKA_TOKEN_CONNECT 5	/* seconds */
#define STRM_KAFKA_TOKEN_MAX_EXTENSIONS 16
#define STRM_KAFKA_TOKEN_NEWLINE '\v'	/* stands for one within a line */

typedef enum StrmKafkaTokenLine
{
	STRM_KAFKA_TOKEN_TRUSTED,	/* 1 or 0 */
	STRM_KAFKA_TOKEN_URL,
	STRM_KAFKA_TOKEN_CLIENT,
	STRM_KAFKA_TOKEN_SECRET = STRM_KAFKA_TOKEN_SECRET_LINE,
	STRM_KAFKA_TOKEN_SCOPE,
	STRM_KAFKA_TOKEN_EXTENSIONS,
	STRM_KAFKA_TOKEN_CA,
	STRM_KAFKA_TOKEN_CA_FILE
} StrmKafkaTokenLine;

#define STRM_KAFKA_TOKEN_LINES (STRM_KAFKA_TOKEN_CA_FILE + 1)

/* The property of each line; those behind the secret may be missing. */
static const char *const strm_kafka_token_names[] = {NULL, "sasl.oauthbearer.token.endpoint.url",
	"sasl.oauthbearer.client.id", "sasl.oauthbearer.client.secret", "sasl.oauthbearer.scope",
	"sasl.oauthbearer.extensions", "https.ca.pem", NULL};

/* A request on its way. */
typedef struct StrmKafkaToken
{
	char	   *config;			/* a copy, cut into lines; of malloc */
	char	   *lines[STRM_KAFKA_TOKEN_LINES];
	bool		trusted;
	bool		plain;			/* http */
	const char *(*refuse) (const struct sockaddr *address, bool trusted, bool local_only);
	const char *refused;		/* why an address was not reached */
	char		words[CURL_ERROR_SIZE];
	Size		size;			/* of the answer */
	char		answer[64 * 1024];
} StrmKafkaToken;

/* The value of a property; NULL: it is not given. */
static const char *
strm_kafka_property(const StrmSinkConfig *config, const char *name)
{
	for (int i = 0; i < config->nproperties; i++)
	{
		if (strcmp(config->properties[i].name, name) == 0)
			return config->properties[i].value;
	}
	return NULL;
}

bool
strm_kafka_token_wanted(const StrmSinkConfig *config)
{
	const char *method = strm_kafka_property(config, "sasl.oauthbearer.method");

	return method != NULL && pg_strcasecmp(method, "oidc") == 0;
}

bool
strm_kafka_token_takes(const char *name)
{
	for (int i = 0; i < STRM_KAFKA_TOKEN_LINES; i++)
	{
		if (strm_kafka_token_names[i] != NULL && strcmp(name, strm_kafka_token_names[i]) == 0)
			return true;
	}
	return strcmp(name, "sasl.oauthbearer.method") == 0;
}

/* Where the answer goes. */
static size_t
strm_kafka_token_receive(char *data, size_t one, size_t size, void *arg)
{
	StrmKafkaToken *token = arg;

	if (size >= sizeof(token->answer) - token->size)
		return 0;
	memcpy(token->answer + token->size, data, size);
	token->size += size;
	token->answer[token->size] = '\0';
	return size;
}

/* A connection, if its address may be reached. */
static curl_socket_t
strm_kafka_token_connect(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
	StrmKafkaToken *token = arg;

	if (token->refuse != NULL)
		token->refused = token->refuse(&address->addr, token->trusted, token->plain);
	if (token->refused != NULL)
		return CURL_SOCKET_BAD;
	return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

/* Takes sasl.oauthbearer.config apart. */
static bool
strm_kafka_token_split(StrmKafkaToken *token, const char *config)
{
	char	   *at;

	token->config = config != NULL ? strdup(config) : NULL;
	if (token->config == NULL)
		return false;
	at = token->config;
	for (int i = 0; i < STRM_KAFKA_TOKEN_LINES; i++)
	{
		token->lines[i] = at;
		at = strchr(at, '\n');
		if (at == NULL)
			return false;
		*at++ = '\0';
	}
	for (at = token->lines[STRM_KAFKA_TOKEN_CA]; *at != '\0'; at++)
		*at = *at == STRM_KAFKA_TOKEN_NEWLINE ? '\n' : *at;
	token->trusted = token->lines[STRM_KAFKA_TOKEN_TRUSTED][0] == '1';
	token->plain = pg_strncasecmp(token->lines[STRM_KAFKA_TOKEN_URL], "http://", 7) == 0;
	return true;
}

/* Whom to ask, and how safely: as data connectors do. */
static void
strm_kafka_token_set_policy(StrmKafkaToken *token, CURL *curl)
{
	const char *ca = token->lines[STRM_KAFKA_TOKEN_CA];
	struct curl_blob blob = {.data = unconstify(char *, ca), .len = strlen(ca), .flags = CURL_BLOB_NOCOPY};

	curl_easy_setopt(curl, CURLOPT_URL, token->lines[STRM_KAFKA_TOKEN_URL]);
	curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, token->plain ? "http" : "https");
	curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(curl, CURLOPT_PROXY, "");
	curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_TIMEOUT, (long) STRM_KAFKA_TOKEN_TIMEOUT);
	curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, (long) STRM_KAFKA_TOKEN_CONNECT);
	curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, token->words);
	curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 1L);
	curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 2L);
	curl_easy_setopt(curl, CURLOPT_SSLVERSION, (long) CURL_SSLVERSION_TLSv1_2);
	if (ca[0] != '\0')
	{
		curl_easy_setopt(curl, CURLOPT_CAINFO_BLOB, &blob);
		curl_easy_setopt(curl, CURLOPT_CAPATH, NULL);
	}
	else if (token->lines[STRM_KAFKA_TOKEN_CA_FILE][0] != '\0')
		curl_easy_setopt(curl, CURLOPT_CAINFO, token->lines[STRM_KAFKA_TOKEN_CA_FILE]);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, strm_kafka_token_receive);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, token);
	curl_easy_setopt(curl, CURLOPT_OPENSOCKETFUNCTION, strm_kafka_token_connect);
	curl_easy_setopt(curl, CURLOPT_OPENSOCKETDATA, token);
}

/* Sends the request: name and secret are encoded, as RFC 6749, section 2.3.1, has it. */
static CURLcode
strm_kafka_token_send(StrmKafkaToken *token, CURL *curl)
{
	char	   *client = curl_easy_escape(curl, token->lines[STRM_KAFKA_TOKEN_CLIENT], 0);
	char	   *secret = curl_easy_escape(curl, token->lines[STRM_KAFKA_TOKEN_SECRET], 0);
	char	   *scope = curl_easy_escape(curl, token->lines[STRM_KAFKA_TOKEN_SCOPE], 0);
	Size		size = scope != NULL ? strlen(scope) + 64 : 0;
	char	   *body = malloc(size + 1);
	CURLcode	code = CURLE_OUT_OF_MEMORY;

	if (client != NULL && secret != NULL && scope != NULL && body != NULL)
	{
		snprintf(body, size, "grant_type=client_credentials%s%s", scope[0] != '\0' ? "&scope=" : "", scope);
		curl_easy_setopt(curl, CURLOPT_HTTPAUTH, CURLAUTH_BASIC);
		curl_easy_setopt(curl, CURLOPT_USERNAME, client);
		curl_easy_setopt(curl, CURLOPT_PASSWORD, secret);
		curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
		code = curl_easy_perform(curl);
	}
	if (secret != NULL)
		explicit_bzero(secret, strlen(secret));
	curl_free(client);
	curl_free(secret);
	curl_free(scope);
	free(body);
	return code;
}

/* Asks for a token. NULL: it was answered; else why not, and whether that may change by itself. */
static const char *
strm_kafka_token_ask(StrmKafkaToken *token, CURL *curl, bool *unreachable)
{
	char		error[64];
	long		status = 0;
	CURLcode	code;

	strm_kafka_token_set_policy(token, curl);
	code = strm_kafka_token_send(token, curl);
	curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
	if (token->refused != NULL)
		return token->refused;
	*unreachable = code == CURLE_COULDNT_RESOLVE_HOST || code == CURLE_COULDNT_CONNECT ||
		code == CURLE_OPERATION_TIMEDOUT || code == CURLE_GOT_NOTHING || code == CURLE_RECV_ERROR ||
		code == CURLE_SEND_ERROR || code == CURLE_OUT_OF_MEMORY || status == 408 || status == 429 || status >= 500;
	/* Of certificates curl's own words say more. Of connections they say how long it took, each time something else. */
	if (code == CURLE_PEER_FAILED_VERIFICATION && token->words[0] != '\0')
		return token->words;
	if (code != CURLE_OK)
		return curl_easy_strerror(code);
	if (status == 200)
		return NULL;
	strm_kafka_answer_error(token->answer, error, sizeof(error));
	snprintf(token->words, sizeof(token->words), "it answered with status %ld%s%s%s", status,
			 error[0] != '\0' ? ", " : "", error, status / 100 == 3 ? ", and redirects are not followed" : "");
	return token->words;
}

/* The extensions, as a list of names and values; cuts up their text. */
static int
strm_kafka_token_extensions(char *text, const char **list)
{
	int			n = 0;
	char	   *rest = text;
	char	   *pair;

	while ((pair = strsep(&rest, ",")) != NULL && n < STRM_KAFKA_TOKEN_MAX_EXTENSIONS)
	{
		char	   *value = strchr(pair, '=');

		if (value == NULL)
			continue;
		*value = '\0';
		list[n * 2] = pair;
		list[n * 2 + 1] = value + 1;
		n++;
	}
	return n;
}

/* Gives the handle the token that was answered. NULL: done; else why not. */
static const char *
strm_kafka_token_give(StrmKafkaToken *token, rd_kafka_t *rk)
{
	const char *extensions[STRM_KAFKA_TOKEN_MAX_EXTENSIONS * 2];
	int64		seconds;
	char	   *text = strm_kafka_answer_token(token->answer, &seconds);
	int			n;
	rd_kafka_resp_err_t err;

	if (text == NULL)
		return "its answer holds no token";
	if (seconds <= 0)
		return "its token has expired already; do the clocks agree?";
	n = strm_kafka_token_extensions(token->lines[STRM_KAFKA_TOKEN_EXTENSIONS], extensions);
	/* What the library says may quote the token. */
	err = rd_kafka_oauthbearer_set_token(rk, text, ((int64) time(NULL) + seconds) * 1000,
										 token->lines[STRM_KAFKA_TOKEN_CLIENT], extensions, n * 2, token->words,
										 sizeof(token->words));
	return err == RD_KAFKA_RESP_ERR_NO_ERROR ? NULL : "the extensions have names or characters that cannot be sent";
}

/* Ends a request; secrets are wiped. */
static void
strm_kafka_token_free(StrmKafkaToken *token, Size config_size)
{
	if (token == NULL)
		return;
	if (token->config != NULL)
		explicit_bzero(token->config, config_size);
	free(token->config);
	explicit_bzero(token, sizeof(StrmKafkaToken));
	free(token);
}

/* librdkafka wants a token. In a thread of its own. */
static void
strm_kafka_token_refresh(rd_kafka_t *rk, const char *config, void *refuse)
{
	StrmKafkaToken *token = calloc(1, sizeof(StrmKafkaToken));
	CURL	   *curl = curl_easy_init();
	char		failure[CURL_ERROR_SIZE * 2];
	const char *why = "there is no memory";
	bool		unreachable = true;

	if (token != NULL && curl != NULL && strm_kafka_token_split(token, config))
	{
		token->refuse = refuse;
		unreachable = false;
		why = strm_kafka_token_ask(token, curl, &unreachable);
		if (why == NULL)
			why = strm_kafka_token_give(token, rk);
	}
	if (why != NULL)
	{
		snprintf(failure, sizeof(failure), "%s: %s",
				 unreachable ? STRM_KAFKA_TOKEN_UNREACHABLE : STRM_KAFKA_TOKEN_REFUSED, why);
		rd_kafka_oauthbearer_set_token_failure(rk, failure);
	}
	if (curl != NULL)
		curl_easy_cleanup(curl);
	strm_kafka_token_free(token, config != NULL ? strlen(config) : 0);
}

/* Appends a line. False: it would not be one. */
static bool
strm_kafka_token_append(StringInfo text, const char *value, bool many)
{
	int			start = text->len;

	appendStringInfo(text, "%s\n", value);
	for (char *at = text->data + start; at[1] != '\0'; at++)
	{
		if (*at == '\n' && !many)
			return false;
		if (*at == '\n')
			*at = STRM_KAFKA_TOKEN_NEWLINE;
	}
	return true;
}

/* All lines, in one text. False: something is missing, or is no line. */
static bool
strm_kafka_token_join(const StrmSinkConfig *config, StringInfo text)
{
	const char *values[STRM_KAFKA_TOKEN_LINES] = {config->trusted ? "1" : "0"};
	Size		size = STRM_KAFKA_TOKEN_LINES + 1;
	bool		done = true;

	for (int i = STRM_KAFKA_TOKEN_URL; i < STRM_KAFKA_TOKEN_LINES; i++)
	{
		values[i] = config->ca_file;
		if (i != STRM_KAFKA_TOKEN_CA_FILE)
			values[i] = strm_kafka_property(config, strm_kafka_token_names[i]);
		if (values[i] == NULL && i <= STRM_KAFKA_TOKEN_SECRET)
			return false;
		values[i] = values[i] != NULL ? values[i] : "";
		size += strlen(values[i]);
	}
	/* At once as large as it gets, so that no half of it is left behind. */
	enlargeStringInfo(text, size);
	for (int i = 0; i < STRM_KAFKA_TOKEN_LINES; i++)
		done = strm_kafka_token_append(text, values[i], i == STRM_KAFKA_TOKEN_CA) && done;
	return done;
}

void
strm_kafka_token_configure(rd_kafka_conf_t *conf, const StrmSinkConfig *config)
{
	static bool initialized = false;
	rd_kafka_conf_res_t result = RD_KAFKA_CONF_INVALID;
	StringInfoData text;

	if (!initialized && curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK)
		initialized = true;
	initStringInfo(&text);
	if (strm_kafka_token_join(config, &text) && initialized)
		result = rd_kafka_conf_set(conf, "sasl.oauthbearer.config", text.data, NULL, 0);
	explicit_bzero(text.data, text.maxlen);
	if (result == RD_KAFKA_CONF_OK)
	{
		rd_kafka_conf_set_oauthbearer_token_refresh_cb(conf, strm_kafka_token_refresh);
		return;
	}
	rd_kafka_conf_destroy(conf);
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("the Kafka property \"sasl.oauthbearer.method\" is refused"),
			 errdetail("It needs sasl.oauthbearer.token.endpoint.url, sasl.oauthbearer.client.id and sasl.oauthbearer.client.secret, a line each.")));
}
