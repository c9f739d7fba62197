/*
 * kafka_property.h
 *	  The properties that a Kafka cluster's definition may have, and why others are refused. For this folder.
 */
#ifndef STRM_EXPORT_KAFKA_PROPERTY_H
#define STRM_EXPORT_KAFKA_PROPERTY_H

#include "common/errors.h"

/* Properties that others refer to by number. Synonyms have one number. */
typedef enum StrmKafkaPropertyId
{
	STRM_KAFKA_OTHER,			/* nothing depends on it */
	STRM_KAFKA_PROTOCOL,
	STRM_KAFKA_MECHANISM,
	STRM_KAFKA_USERNAME,
	STRM_KAFKA_PASSWORD,
	STRM_KAFKA_OAUTH_METHOD,
	STRM_KAFKA_OAUTH_URL,
	STRM_KAFKA_OAUTH_CLIENT,
	STRM_KAFKA_OAUTH_SECRET,
	STRM_KAFKA_OAUTH_UNSIGNED,
	STRM_KAFKA_OAUTH_CONFIG,
	STRM_KAFKA_OAUTH_CA,
	STRM_KAFKA_CA,
	STRM_KAFKA_CERTIFICATE,
	STRM_KAFKA_KEY,
	STRM_KAFKA_KEY_PASSWORD,
	STRM_KAFKA_BACKOFF,
	STRM_KAFKA_BACKOFF_MAX,
	STRM_KAFKA_COMPRESSION,
	STRM_KAFKA_LINGER,
	STRM_KAFKA_REGISTRY_URL,
	STRM_KAFKA_REGISTRY_USER,
	STRM_KAFKA_REGISTRY_CA,
	STRM_KAFKA_NIDS
} StrmKafkaPropertyId;

/* What a property is for: an embedded broker takes TUNING and REGISTRY only. */
typedef enum StrmKafkaPropertyUse
{
	STRM_KAFKA_TUNING,
	STRM_KAFKA_SECURITY,
	STRM_KAFKA_REGISTRY			/* not librdkafka's, but ours */
} StrmKafkaPropertyUse;

typedef enum StrmKafkaPropertyType
{
	STRM_KAFKA_TEXT,			/* 1 to 1000 characters, none of them a control character */
	STRM_KAFKA_CHOICE,			/* one of choices, in any case */
	STRM_KAFKA_INTEGER,			/* min to max */
	STRM_KAFKA_BOOLEAN,
	STRM_KAFKA_PEM,				/* certificates, and nothing else */
	STRM_KAFKA_PEM_KEY,
	STRM_KAFKA_EXTENSIONS,		/* "name=value", or several with commas between */
	STRM_KAFKA_CIPHERS,			/* names of cipher suites that authenticate the server */
	STRM_KAFKA_URL
} StrmKafkaPropertyType;

typedef struct StrmKafkaProperty
{
	const char *name;
	StrmKafkaPropertyType type;
	StrmKafkaPropertyUse use;
	StrmKafkaPropertyId id;
	bool		secret;
	bool		destination;	/* tells to whom secrets go, and how well protected */
	bool		trusted;		/* for clusters of administrators */
	int64		min;
	int64		max;
	const char *choices;		/* "a b" */
} StrmKafkaProperty;

/* The property of that name, or NULL: then refusal tells why it may not be set. Constant. */
extern const StrmKafkaProperty *strm_kafka_property(const char *name);
extern const char *strm_kafka_property_refusal(const char *name);

/* All of them, from 0; NULL behind the last one. */
extern const StrmKafkaProperty *strm_kafka_property_at(int i);

/* Adds a fault unless value is one of the property's. No value is ever part of it. */
extern void strm_kafka_property_check(const StrmKafkaProperty *property, const char *value, bool trusted,
									  StrmFaults *faults);

/* Adds faults for a list of brokers that is none, or leads where the cluster may not go. */
extern void strm_kafka_servers_check(const char *servers, bool trusted, StrmFaults *faults);

/* Adds a fault unless it is a URL that may be reached; what: its name. */
extern void strm_kafka_url_check(const char *url, const char *what, bool trusted, StrmFaults *faults);

#endif							/* STRM_EXPORT_KAFKA_PROPERTY_H */
