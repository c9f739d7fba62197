/*
 * failure.h
 *	  What went wrong, in words that may be shown. Usable in any thread: no server function is called here.
 */
#ifndef STRM_KAFKA_FAILURE_H
#define STRM_KAFKA_FAILURE_H

#include "kafka/librdkafka.h"

#define STRM_KAFKA_MESSAGE_SIZE 768
/* What token.c says of an endpoint that may be there later; librdkafka knows only that there is no token. */
#define STRM_KAFKA_TOKEN_UNREACHABLE "the token endpoint cannot be reached"
#define STRM_KAFKA_TOKEN_REFUSED "the token endpoint gives no token"
#define STRM_KAFKA_TOKEN_SECRET_LINE 3	/* of sasl.oauthbearer.config, when token.c made it */

typedef struct StrmKafkaFailure
{
	int			sqlstate;		/* 0: none */
	bool		temporary;
	bool		refused;		/* by the broker's authentication, or ours of the broker */
	const char *hint;			/* constant, or NULL */
	char		message[STRM_KAFKA_MESSAGE_SIZE];
} StrmKafkaFailure;

/*
 * Says what err means to somebody who was doing something ("cannot write to topic \"x\""). words, what the library or
 * the broker says of it, may be NULL; they are left out where they hold a secret of rk's, which may be NULL.
 */
extern void strm_kafka_failure_set(StrmKafkaFailure *failure, rd_kafka_t *rk, rd_kafka_resp_err_t err,
								   const char *words, const char *doing);

/* One that is no error of the library's. */
extern void strm_kafka_failure_say(StrmKafkaFailure *failure, int sqlstate, bool temporary, const char *hint,
								   const char *message);

/* Makes of a text one that is printed as it is, whatever the encoding: what brokers say is not to be trusted. */
extern void strm_kafka_plain(char *text);

/* Does a text of the library's hold a secret of the handle's configuration? */
extern bool strm_kafka_has_secret(rd_kafka_t *rk, const char *text);

#endif							/* STRM_KAFKA_FAILURE_H */
