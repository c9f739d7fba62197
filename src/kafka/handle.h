/*
 * handle.h
 *	  Handles of the client library: their configuration, and their end.
 */
#ifndef STRM_KAFKA_HANDLE_H
#define STRM_KAFKA_HANDLE_H

#include "export/sink.h"
#include "kafka/failure.h"
#include "strm_privacy.h"

typedef enum StrmKafkaUse
{
	STRM_KAFKA_PRODUCER,
	STRM_KAFKA_READER,			/* of committed records */
	STRM_KAFKA_SCOUT			/* asks for what a topic has, committed or not */
} StrmKafkaUse;

/*
 * The configuration of a handle, for strm_kafka_new or rd_kafka_conf_destroy. Raises 22023 for properties that are
 * refused, by us or by the library, with names only.
 */
extern rd_kafka_conf_t *strm_kafka_conf(const StrmSinkConfig *config, StrmKafkaUse use);

/* Makes a handle, whose configuration is gone then. NULL: failure says why. In any thread. */
extern rd_kafka_t *strm_kafka_new(rd_kafka_conf_t *conf, StrmKafkaUse use, StrmKafkaFailure *failure);

/* A producer's handle, or an error. */
extern rd_kafka_t *strm_kafka_producer(const StrmSinkConfig *config);

/* Raises a failure, with what was to be done (the label) in front. */
pg_noreturn extern void strm_kafka_raise(const StrmSinkConfig *config, const StrmKafkaFailure *failure);

#endif							/* STRM_KAFKA_HANDLE_H */
