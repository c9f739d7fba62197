/*
 * failure.c
 *	  What went wrong, in words that may be shown.
 *
 *	  An error is temporary when it may be gone without anybody doing anything. All that the network does is; so is what
 *	  ends a producer but not the next one, which begins behind what the topic holds.
 */
#include "postgres.h"

#include <pthread.h>

#include "utils/errcodes.h"

#include "kafka/failure.h"
#include "strm_privacy.h"

typedef struct StrmKafkaMeaning
{
	rd_kafka_resp_err_t err;
	int			sqlstate;
	bool		temporary;
	const char *hint;
} StrmKafkaMeaning;

#define STRM_KAFKA_LOST ERRCODE_CONNECTION_FAILURE
#define STRM_KAFKA_REFUSED ERRCODE_SQLSERVER_REJECTED_ESTABLISHMENT_OF_SQLCONNECTION
#define STRM_KAFKA_MISSING ERRCODE_UNDEFINED_FILE
#define STRM_KAFKA_BROKEN ERRCODE_IO_ERROR

static const char *const strm_kafka_hint_address = "Check the cluster's bootstrap_servers and security.protocol.";
static const char *const strm_kafka_hint_credentials =
	"Check the cluster's security.protocol, sasl.* and ssl.* properties.";
static const char *const strm_kafka_hint_token =
	"Check the cluster's sasl.oauthbearer.* properties, and https.ca.pem when no known authority signed the endpoint's certificate.";
static const char *const strm_kafka_hint_tls =
	"Check that the cluster's ssl.ca.pem is of the authority that signed the brokers' certificates, and that these are of the names by which they are reached.";
static const char *const strm_kafka_hint_rights =
	"The cluster's user must have the rights DESCRIBE, READ and WRITE on the topic, and IDEMPOTENT_WRITE on clusters before Kafka 3.0.";
static const char *const strm_kafka_hint_id =
	"The cluster's user must have the rights DESCRIBE and WRITE on the transactional id.";
static const char *const strm_kafka_hint_topic =
	"Make the topic again, with as many partitions as the exporter has, then resume the exporter.";
static const char *const strm_kafka_hint_size =
	"Raise the topic's max.message.bytes, or lower the cluster's batch.size, then resume the exporter.";
static const char *const strm_kafka_hint_fenced =
	"A transaction that took longer than transaction.timeout.ms ends so; otherwise another server publishes as this exporter.";

/* What is not listed is permanent, and the broker's doing. */
static const StrmKafkaMeaning strm_kafka_meanings[] = {
	{RD_KAFKA_RESP_ERR__AUTHENTICATION, STRM_KAFKA_REFUSED, false, strm_kafka_hint_credentials},
	{RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED, STRM_KAFKA_REFUSED, false, strm_kafka_hint_credentials},
	{RD_KAFKA_RESP_ERR_UNSUPPORTED_SASL_MECHANISM, STRM_KAFKA_REFUSED, false, strm_kafka_hint_credentials},
	{RD_KAFKA_RESP_ERR_ILLEGAL_SASL_STATE, STRM_KAFKA_REFUSED, false, strm_kafka_hint_credentials},
	{RD_KAFKA_RESP_ERR__SSL, STRM_KAFKA_REFUSED, false, strm_kafka_hint_tls},
	{RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, STRM_KAFKA_REFUSED, false, strm_kafka_hint_rights},
	{RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED, STRM_KAFKA_REFUSED, false, strm_kafka_hint_rights},
	{RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED, STRM_KAFKA_REFUSED, false, strm_kafka_hint_id},
	{RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC, STRM_KAFKA_MISSING, false, strm_kafka_hint_topic},
	{RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION, STRM_KAFKA_MISSING, false, strm_kafka_hint_topic},
	{RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART, STRM_KAFKA_MISSING, false, strm_kafka_hint_topic},
	{RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, STRM_KAFKA_BROKEN, false, strm_kafka_hint_size},
	{RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE, STRM_KAFKA_BROKEN, false, strm_kafka_hint_size},
	{RD_KAFKA_RESP_ERR__TRANSPORT, STRM_KAFKA_LOST, true, strm_kafka_hint_address},
	{RD_KAFKA_RESP_ERR__RESOLVE, STRM_KAFKA_LOST, true, strm_kafka_hint_address},
	{RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN, STRM_KAFKA_LOST, true, strm_kafka_hint_address},
	{RD_KAFKA_RESP_ERR__TIMED_OUT, STRM_KAFKA_LOST, true, NULL},
	{RD_KAFKA_RESP_ERR__TIMED_OUT_QUEUE, STRM_KAFKA_LOST, true, NULL},
	{RD_KAFKA_RESP_ERR__MSG_TIMED_OUT, STRM_KAFKA_LOST, true, NULL},
	{RD_KAFKA_RESP_ERR__WAIT_COORD, STRM_KAFKA_LOST, true, NULL},
	{RD_KAFKA_RESP_ERR__NODE_UPDATE, STRM_KAFKA_LOST, true, NULL},
	{RD_KAFKA_RESP_ERR__DESTROY, STRM_KAFKA_LOST, true, NULL},
	{RD_KAFKA_RESP_ERR__RETRY, STRM_KAFKA_LOST, true, NULL},
	{RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT, STRM_KAFKA_LOST, true, NULL},
	{RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE, STRM_KAFKA_LOST, true, NULL},
	{RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION, STRM_KAFKA_LOST, true, NULL},
	{RD_KAFKA_RESP_ERR_BROKER_NOT_AVAILABLE, STRM_KAFKA_LOST, true, NULL},
	{RD_KAFKA_RESP_ERR_REPLICA_NOT_AVAILABLE, STRM_KAFKA_LOST, true, NULL},
	{RD_KAFKA_RESP_ERR_NETWORK_EXCEPTION, STRM_KAFKA_LOST, true, NULL},
	{RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS, STRM_KAFKA_LOST, true, NULL},
	{RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE, STRM_KAFKA_LOST, true, NULL},
	{RD_KAFKA_RESP_ERR_NOT_COORDINATOR, STRM_KAFKA_LOST, true, NULL},
	{RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS, STRM_KAFKA_LOST, true, NULL},
	{RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS_AFTER_APPEND, STRM_KAFKA_LOST, true, NULL},
	{RD_KAFKA_RESP_ERR_NOT_CONTROLLER, STRM_KAFKA_LOST, true, NULL},
	{RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR, STRM_KAFKA_BROKEN, true, NULL},
	{RD_KAFKA_RESP_ERR_CONCURRENT_TRANSACTIONS, STRM_KAFKA_LOST, true, NULL},
	{RD_KAFKA_RESP_ERR__FENCED, STRM_KAFKA_BROKEN, true, strm_kafka_hint_fenced},
	{RD_KAFKA_RESP_ERR_PRODUCER_FENCED, STRM_KAFKA_BROKEN, true, strm_kafka_hint_fenced},
	{RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH, STRM_KAFKA_BROKEN, true, strm_kafka_hint_fenced},
	{RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER, STRM_KAFKA_BROKEN, true, NULL},
	{RD_KAFKA_RESP_ERR_UNKNOWN_PRODUCER_ID, STRM_KAFKA_BROKEN, true, NULL},
	{RD_KAFKA_RESP_ERR_INVALID_PRODUCER_ID_MAPPING, STRM_KAFKA_BROKEN, true, NULL},
	{RD_KAFKA_RESP_ERR_INVALID_TXN_STATE, STRM_KAFKA_BROKEN, true, NULL},
	{RD_KAFKA_RESP_ERR_INVALID_MSG, STRM_KAFKA_BROKEN, true, NULL},
	{RD_KAFKA_RESP_ERR__GAPLESS_GUARANTEE, STRM_KAFKA_BROKEN, true, NULL},
	{RD_KAFKA_RESP_ERR__FATAL, STRM_KAFKA_BROKEN, true, NULL},
	{RD_KAFKA_RESP_ERR__STATE, STRM_KAFKA_BROKEN, true, NULL},
	{RD_KAFKA_RESP_ERR__PURGE_QUEUE, STRM_KAFKA_BROKEN, true, NULL},
	{RD_KAFKA_RESP_ERR__PURGE_INFLIGHT, STRM_KAFKA_BROKEN, true, NULL},
};

/* Filled once: with the version of the library that is there at run time. */
static char strm_kafka_hint_scram[320];

static const char *const strm_kafka_secrets[] = {"sasl.password", "ssl.key.password", "ssl.key.pem",
	"sasl.oauthbearer.client.secret", "sasl.oauthbearer.config", NULL};

bool
strm_kafka_has_secret(rd_kafka_t *rk, const char *text)
{
	bool		found = false;

	for (const char *const *name = strm_kafka_secrets; rk != NULL && *name != NULL && !found; name++)
	{
		char		value[16 * 1024];
		size_t		size = sizeof(value);

		if (rd_kafka_conf_get(rd_kafka_conf(rk), *name, value, &size) == RD_KAFKA_CONF_OK && value[0] != '\0')
		{
			char	   *rest = value;
			char	   *secret = value;

			/* token.c keeps the secret in a line of its own. */
			value[sizeof(value) - 1] = '\0';
			for (int i = 0; i <= STRM_KAFKA_TOKEN_SECRET_LINE && rest != NULL; i++)
				secret = strsep(&rest, "\n");
			found = secret[0] != '\0' && strstr(text, secret) != NULL;
		}
		explicit_bzero(value, sizeof(value));
	}
	return found;
}

void
strm_kafka_plain(char *text)
{
	for (char *c = text; *c != '\0'; c++)
	{
		if ((unsigned char) *c < ' ' || (unsigned char) *c >= 0x7f)
			*c = (unsigned char) *c < ' ' ? ' ' : '?';
	}
}

void
strm_kafka_failure_say(StrmKafkaFailure *failure, int sqlstate, bool temporary, const char *hint, const char *message)
{
	failure->sqlstate = sqlstate;
	failure->temporary = temporary;
	failure->refused = false;
	failure->hint = hint;
	strlcpy(failure->message, message, sizeof(failure->message));
}

/* Fills strm_kafka_hint_scram. */
static void
strm_kafka_name_version(void)
{
	snprintf(strm_kafka_hint_scram, sizeof(strm_kafka_hint_scram),
			 "Check sasl.username and sasl.password. With SCRAM librdkafka %s, which is the one here, cannot log in to Kafka 4.0 and later, and is told the same then: use librdkafka 2.6.1 or later, or another sasl.mechanism.",
			 rd_kafka_version_str());
}

/* The hint where nobody could log in, if more is known than what the broker says; else that one. */
static const char *
strm_kafka_login_hint(rd_kafka_t *rk, const char *words, const char *hint)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	char		mechanism[32] = "";
	size_t		size = sizeof(mechanism);

	if (words != NULL && (strstr(words, STRM_KAFKA_TOKEN_REFUSED) != NULL ||
						  strstr(words, STRM_KAFKA_TOKEN_UNREACHABLE) != NULL))
		return strm_kafka_hint_token;
	/* It repeats its nonce, which brokers refused to take from 4.0 on. */
	if (rk == NULL || rd_kafka_version() >= STRM_KAFKA_SCRAM_VERSION ||
		rd_kafka_conf_get(rd_kafka_conf(rk), "sasl.mechanisms", mechanism, &size) != RD_KAFKA_CONF_OK ||
		strncmp(mechanism, "SCRAM-", 6) != 0)
		return hint;
	pthread_once(&once, strm_kafka_name_version);
	return strm_kafka_hint_scram;
}

void
strm_kafka_failure_set(StrmKafkaFailure *failure, rd_kafka_t *rk, rd_kafka_resp_err_t err, const char *words,
					   const char *doing)
{
	char		message[STRM_KAFKA_MESSAGE_SIZE];
	const StrmKafkaMeaning *meaning = NULL;
	bool		login = err == RD_KAFKA_RESP_ERR__AUTHENTICATION ||
		err == RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED;
	const char *hint = NULL;

	if (login)
		hint = strm_kafka_login_hint(rk, words, strm_kafka_hint_credentials);
	if (err == RD_KAFKA_RESP_ERR__AUTHENTICATION && words != NULL &&
		strstr(words, STRM_KAFKA_TOKEN_UNREACHABLE) != NULL)
		err = RD_KAFKA_RESP_ERR__TRANSPORT;
	for (int i = 0; i < lengthof(strm_kafka_meanings); i++)
	{
		if (strm_kafka_meanings[i].err == err)
			meaning = &strm_kafka_meanings[i];
	}
	if (words == NULL || words[0] == '\0' || strm_kafka_has_secret(rk, words))
		words = rd_kafka_err2str(err);
	snprintf(message, sizeof(message), "%s: %s", doing, words);
	strm_kafka_plain(message);
	if (meaning != NULL)
		strm_kafka_failure_say(failure, meaning->sqlstate, meaning->temporary, login ? hint : meaning->hint, message);
	else
		strm_kafka_failure_say(failure, STRM_KAFKA_BROKEN, false, NULL, message);
	failure->refused = failure->sqlstate == STRM_KAFKA_REFUSED;
}
