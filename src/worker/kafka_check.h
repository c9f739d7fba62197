/*
 * kafka_check.h
 *	  A session's question to a Kafka cluster, asked by a short-lived background worker: no session ever loads the
 *	  library that talks to brokers, or has its threads.
 */
#ifndef STRM_WORKER_KAFKA_CHECK_H
#define STRM_WORKER_KAFKA_CHECK_H

#include "export/exporter.h"

/*
 * Checks that a topic can be written to, and makes it when it is missing. Waits, can be interrupted; raises what is
 * wrong. The cluster and its wrapped secrets travel in dynamic shared memory, so that they may be of this transaction.
 * Nothing is done for an embedded cluster, whose worker makes topics itself.
 */
extern void strm_kafka_check(const StrmKafkaCluster *cluster, const char *topic, int partitions, bool transactional,
							 StrmSinkTopic *result);

#endif							/* STRM_WORKER_KAFKA_CHECK_H */
