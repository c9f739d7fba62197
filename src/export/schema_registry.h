/*
 * schema_registry.h
 *	  Confluent's Schema Registry (REST): registers the schema of an exporter's values.
 *
 *	  A cluster's properties schema.registry.url, schema.registry.basic.auth.user.info (user:password) and
 *	  schema.registry.ssl.ca.pem are for this alone: librdkafka does not know them. What may be reached is what data
 *	  connectors may reach (connect/http.h).
 */
#ifndef STRM_EXPORT_SCHEMA_REGISTRY_H
#define STRM_EXPORT_SCHEMA_REGISTRY_H

#include "export/exporter.h"

/* Subject of the values of a topic: TopicNameStrategy. In the current context. */
extern char *strm_schema_registry_subject(const char *topic);

/*
 * Registers schema (Avro, JSON text) under subject and returns its id, the same one each time. Callers keep it: every
 * call asks the registry. For processes whose latch is theirs, with or without a transaction. Blocks, interruptibly, at
 * most strm_privacy.connector_timeout, and never more than 10 seconds, in which a worker's other exporters wait. Raises
 * 08006, 08004, 58030, 42501 for an address that may not be reached, or 22023 when the registry finds the schema
 * incompatible, or the cluster has none.
 */
extern int32 strm_schema_registry_register(const StrmKafkaCluster *cluster, const char *subject, const char *schema);

#endif							/* STRM_EXPORT_SCHEMA_REGISTRY_H */
