/*
 * token.h
 *	  Logging in with OAUTHBEARER and OIDC: tokens of a token endpoint, for client credentials (RFC 6749, 4.4).
 *
 *	  librdkafka can fetch them itself, but not in all builds (not in Debian 12's), and it does not ask whether an
 *	  address may be reached. So we do that for it.
 */
#ifndef STRM_KAFKA_TOKEN_H
#define STRM_KAFKA_TOKEN_H

#include "kafka/handle.h"

/* Are tokens to be fetched? */
extern bool strm_kafka_token_wanted(const StrmSinkConfig *config);

/* Is that property one of ours, and not for librdkafka, some builds of which refuse it whatever its value? */
extern bool strm_kafka_token_takes(const char *name);

/* Has a handle's configuration fetch tokens. Raises 22023 where something is missing. */
extern void strm_kafka_token_configure(rd_kafka_conf_t *conf, const StrmSinkConfig *config);

#endif							/* STRM_KAFKA_TOKEN_H */
