/*
 * schema_registry.h
 *	  Confluent's Schema Registry (REST): registers the schema of an exporter's values.
 */
#ifndef STRM_EXPORT_SCHEMA_REGISTRY_H
#define STRM_EXPORT_SCHEMA_REGISTRY_H

#include "export/exporter.h"

/*
 * Registers schema (Avro, JSON text) under subject and returns its id. Properties of the cluster: schema.registry.url,
 * schema.registry.basic.auth.user.info, schema.registry.ssl.ca.pem. Blocks at most strm_privacy.connector_timeout;
 * raises 08006, 08004, 58030, or 22023 when the registry finds the schema incompatible.
 */
extern int32 strm_schema_registry_register(const StrmKafkaCluster *cluster, const char *subject, const char *schema);

#endif							/* STRM_EXPORT_SCHEMA_REGISTRY_H */
