/*
 * kafka.h
 *	  What the SQL functions of Kafka clusters and exporters share.
 */
#ifndef STRM_API_KAFKA_H
#define STRM_API_KAFKA_H

#include "export/exporter.h"

/*
 * The cluster or exporter of that name, its row locked, if the current user may change it: its owner and strm_admin.
 * Raises 42704 or 42501.
 */
extern StrmKafkaCluster *strm_kafka_cluster_manage(const char *name);
extern StrmKafkaExporter *strm_kafka_exporter_manage(const char *name);

/*
 * Adds a fault when an exporter (other than itself, which may be NULL) publishes to that topic of the same brokers,
 * unless both use transactions: then each is fenced off from itself only, and tells its own records.
 */
extern void strm_kafka_topic_check_writers(const StrmKafkaCluster *cluster, const char *topic, bool transactional,
										   const pg_uuid_t *itself, StrmFaults *faults);

#endif							/* STRM_API_KAFKA_H */
