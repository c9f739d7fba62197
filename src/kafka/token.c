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

#include "kafka/token.h"

#define STRM_KAFKA_TOKEN_TIMEOUT 10 /* seconds */
#define STRM_KAFKA_TOKEN_CONNECT 5	/* seconds */
#define STRM_KAFKA_TOKEN_LIFE 60	/* seconds, of tokens that do not say */
#define STRM_KAFKA_TOKEN_MAX_EXTENSIONS 16

typedef enum StrmKafkaTokenLine
{
	STRM_KAFKA_TOKEN_TRUSTED,	/* 1 or 0 */
	STRM_KAFKA_TOKEN_URL,
	STRM_KAFKA_TOKEN_CLIENT,
	STRM_KAFKA_TOKEN_SECRET = STRM_KAFKA_TOKEN_SECRET_LINE,
	STRM_KAFKA_TOKEN_SCOPE,
	STRM_KAFKA_TOKEN_EXTENSIONS
} StrmKafkaTokenLine;

#define STRM_KAFKA_TOKEN_LINES (STRM_KAFKA_TOKEN_EXTENSIONS + 1)

/* The property of each line; the last three may be missing. */
static const char *const strm_kafka_token_names[] = {NULL, "sasl.oauthbearer.token.endpoint.url",
	"sasl.oauthbearer.client.id", "sasl.oauthbearer.client.secret", "sasl.oauthbearer.scope",
	"sasl.oauthbearer.extensions"};

/* A request on its way. All texts are in one buffer. */
typedef struct StrmKafkaToken
{
	const char *lines[STRM_KAFKA_TOKEN_LINES];
	bool		trusted;
	bool		plain;			/* http */
	const char *(*refuse) (const struct sockaddr *address, bool trusted, bool local_only);
	const char *refused;		/* why an address was not reached */
	Size		size;			/* of the answer */
	char		answer[64 * 1024];
	char		buffer[8 * 1024];
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
	for (int i = STRM_KAFKA_TOKEN_URL; i < STRM_KAFKA_TOKEN_LINES; i++)
	{
		if (strcmp(name, strm_kafka_token_names[i]) == 0)
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
	char	   *at = token->buffer;

	if (config == NULL || strlcpy(token->buffer, config, sizeof(token->buffer)) >= sizeof(token->buffer))
		return false;
	for (int i = 0; i < STRM_KAFKA_TOKEN_LINES; i++)
	{
		token->lines[i] = at;
		at = strchr(at, '\n');
		if (at == NULL)
			return false;
		*at++ = '\0';
	}
	token->trusted = token->lines[STRM_KAFKA_TOKEN_TRUSTED][0] == '1';
	token->plain = pg_strncasecmp(token->lines[STRM_KAFKA_TOKEN_URL], "http://", 7) == 0;
	return true;
}

/* Asks for a token. NULL: it was answered; else why not, and whether that may change. */
static const char *
strm_kafka_token_ask(StrmKafkaToken *token, CURL *curl, char *words, bool *unreachable)
{
	char		body[2048] = "grant_type=client_credentials";
	char	   *scope = curl_easy_escape(curl, token->lines[STRM_KAFKA_TOKEN_SCOPE], 0);
	long		status = 0;
	CURLcode	code;

	if (scope != NULL && scope[0] != '\0')
		snprintf(body, sizeof(body), "grant_type=client_credentials&scope=%s", scope);
	curl_free(scope);
	curl_easy_setopt(curl, CURLOPT_URL, token->lines[STRM_KAFKA_TOKEN_URL]);
	curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(curl, CURLOPT_PROXY, "");
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_TIMEOUT, (long) STRM_KAFKA_TOKEN_TIMEOUT);
	curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, (long) STRM_KAFKA_TOKEN_CONNECT);
	curl_easy_setopt(curl, CURLOPT_HTTPAUTH, CURLAUTH_BASIC);
	curl_easy_setopt(curl, CURLOPT_USERNAME, token->lines[STRM_KAFKA_TOKEN_CLIENT]);
	curl_easy_setopt(curl, CURLOPT_PASSWORD, token->lines[STRM_KAFKA_TOKEN_SECRET]);
	curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, strm_kafka_token_receive);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, token);
	curl_easy_setopt(curl, CURLOPT_OPENSOCKETFUNCTION, strm_kafka_token_connect);
	curl_easy_setopt(curl, CURLOPT_OPENSOCKETDATA, token);
	code = curl_easy_perform(curl);
	curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
	if (token->refused != NULL)
		return token->refused;
	*unreachable = code == CURLE_COULDNT_RESOLVE_HOST || code == CURLE_COULDNT_CONNECT ||
		code == CURLE_OPERATION_TIMEDOUT || code == CURLE_GOT_NOTHING || code == CURLE_RECV_ERROR ||
		code == CURLE_SEND_ERROR || status == 429 || status >= 500;
	if (code != CURLE_OK)
		return curl_easy_strerror(code);
	if (status == 200)
		return NULL;
	snprintf(words, CURL_ERROR_SIZE, "it answered with status %ld", status);
	return words;
}

/*
 * A member of the answer, which is a JSON object: where its value begins. Names are looked for, not parsed: a token
 * holds no quotation marks, and the endpoint is one that is trusted with the secret.
 */
static char *
strm_kafka_token_member(StrmKafkaToken *token, const char *name)
{
	char	   *at = strstr(token->answer, name);

	if (at == NULL)
		return NULL;
	at += strlen(name);
	at += strspn(at, " \t\r\n");
	if (*at++ != ':')
		return NULL;
	return at + strspn(at, " \t\r\n");
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
strm_kafka_token_give(StrmKafkaToken *token, rd_kafka_t *rk, char *words)
{
	const char *extensions[STRM_KAFKA_TOKEN_MAX_EXTENSIONS * 2];
	char	   *life = strm_kafka_token_member(token, "\"expires_in\"");
	char	   *text = strm_kafka_token_member(token, "\"access_token\"");
	char	   *end = text != NULL && *text == '"' ? strchr(text + 1, '"') : NULL;
	long		seconds = life != NULL ? strtol(life + (*life == '"'), NULL, 10) : STRM_KAFKA_TOKEN_LIFE;
	int			n;

	if (end == NULL)
		return "its answer holds no token";
	*end = '\0';
	if (seconds <= 0 || seconds > 365 * 86400)
		seconds = STRM_KAFKA_TOKEN_LIFE;
	n = strm_kafka_token_extensions(unconstify(char *, token->lines[STRM_KAFKA_TOKEN_EXTENSIONS]), extensions);
	if (rd_kafka_oauthbearer_set_token(rk, text + 1, ((int64) time(NULL) + seconds) * 1000,
									   token->lines[STRM_KAFKA_TOKEN_CLIENT], extensions, n * 2, words,
									   CURL_ERROR_SIZE) != RD_KAFKA_RESP_ERR_NO_ERROR)
		return "its token, or the extensions, have characters that cannot be sent";
	return NULL;
}

/* librdkafka wants a token. In a thread of its own. */
static void
strm_kafka_token_refresh(rd_kafka_t *rk, const char *config, void *refuse)
{
	StrmKafkaToken *token = calloc(1, sizeof(StrmKafkaToken));
	CURL	   *curl = curl_easy_init();
	char		words[CURL_ERROR_SIZE] = "";
	char		failure[CURL_ERROR_SIZE * 2];
	const char *why = "there is no memory";
	bool		unreachable = false;

	if (token != NULL && curl != NULL && strm_kafka_token_split(token, config))
	{
		token->refuse = refuse;
		why = strm_kafka_token_ask(token, curl, words, &unreachable);
		if (why == NULL)
			why = strm_kafka_token_give(token, rk, words);
	}
	if (why != NULL)
	{
		snprintf(failure, sizeof(failure), "%s: %s",
				 unreachable ? STRM_KAFKA_TOKEN_UNREACHABLE : "the token endpoint gives no token", why);
		rd_kafka_oauthbearer_set_token_failure(rk, failure);
	}
	if (curl != NULL)
		curl_easy_cleanup(curl);
	if (token != NULL)
		explicit_bzero(token, sizeof(StrmKafkaToken));
	free(token);
}

void
strm_kafka_token_configure(rd_kafka_conf_t *conf, const StrmSinkConfig *config)
{
	static bool initialized = false;
	char		text[8 * 1024];
	Size		size;
	rd_kafka_conf_res_t result = RD_KAFKA_CONF_OK;

	if (!initialized && curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK)
		initialized = true;
	size = snprintf(text, sizeof(text), "%d\n", config->trusted);
	for (int i = STRM_KAFKA_TOKEN_URL; i < STRM_KAFKA_TOKEN_LINES; i++)
	{
		const char *value = strm_kafka_property(config, strm_kafka_token_names[i]);

		if ((value == NULL && i <= STRM_KAFKA_TOKEN_SECRET) || (value != NULL && strchr(value, '\n') != NULL))
			result = RD_KAFKA_CONF_INVALID;
		else
			size += snprintf(text + size, size < sizeof(text) ? sizeof(text) - size : 0, "%s\n",
							 value != NULL ? value : "");
		size = Min(size, sizeof(text));
	}
	if (size >= sizeof(text) || !initialized)
		result = RD_KAFKA_CONF_INVALID;
	if (result == RD_KAFKA_CONF_OK)
		result = rd_kafka_conf_set(conf, "sasl.oauthbearer.config", text, NULL, 0);
	explicit_bzero(text, sizeof(text));
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
