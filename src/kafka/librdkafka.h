/*
 * librdkafka.h
 *	  The client library for Kafka, 2.0.2 and later. The only place that tests its version.
 */
#ifndef STRM_KAFKA_LIBRDKAFKA_H
#define STRM_KAFKA_LIBRDKAFKA_H

#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

#if RD_KAFKA_VERSION < 0x020002ff
#error "strm_privacy_kafka needs librdkafka 2.0.2 or later"
#endif

/* 2.3 can ask a broker what one may do with a topic. */
#if RD_KAFKA_VERSION >= 0x020300ff
#define STRM_KAFKA_HAS_TOPIC_RIGHTS 1
#endif

/* From this version on, to be asked at run time, brokers of all versions take its SCRAM. */
#define STRM_KAFKA_SCRAM_VERSION 0x020601ff

#endif							/* STRM_KAFKA_LIBRDKAFKA_H */
