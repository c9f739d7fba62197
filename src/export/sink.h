/*
 * sink.h
 *	  Where Kafka exporters publish: the interface of the library that talks to brokers (strm_privacy_kafka), which only
 *	  background workers load.
 *
 *	  That library includes this header and no other one of ours that declares functions: it cannot call into this
 *	  library. Nothing here needs a transaction. Nothing blocks unless it says so; what blocks can be interrupted. All
 *	  callbacks come from within poll, in the calling thread. A sink lives in the memory context that was current when
 *	  it was opened, and is closed when that is reset.
 *
 *	  A sink is one producer: what goes wrong with it concerns no other one. Records of one partition are stored in the
 *	  order in which they were produced, without gap: after the first one that cannot be stored none is, the sink has
 *	  failed, and must be closed.
 */
#ifndef STRM_EXPORT_SINK_H
#define STRM_EXPORT_SINK_H

#include <sys/socket.h>

#include "utils/palloc.h"

/* Headers of a record: what it has and what is looked for in the last one of a partition. */
#define STRM_SINK_HEADER_CONTRACT "strm-contract"
#define STRM_SINK_HEADER_POSITION "strm-position"
#define STRM_SINK_HEADER_NONCE "strm-nonce"

/* A property of librdkafka, by its own name. The value may be a secret. */
typedef struct StrmSinkProperty
{
	const char *name;
	const char *value;
} StrmSinkProperty;

typedef struct StrmSinkConfig
{
	const char *label;			/* "Kafka exporter \"x\"": begins log lines */
	int			nproperties;
	const StrmSinkProperty *properties; /* bootstrap.servers among them */
	const char *topic;
	const char *transactional_id;	/* NULL: without transactions */
	const char *owner;			/* begins the position header of this exporter's records */
	Size		queue_size;		/* bytes that may be queued, overhead of a record included */
	const int64 *starts;		/* per partition: what lies before is not looked at; NULL: look at all */
	int			nstarts;
	/*
	 * Asked before each connection, with the resolved address (whatever a broker advertised), in any thread: why it may
	 * not be reached, or NULL. strm_address_refuse() is one; trusted is the cluster's. NULL: all may be (the embedded
	 * broker).
	 */
	const char *(*refuse) (const struct sockaddr *address, bool trusted, bool local_only);
	bool		trusted;
	const char *ca_file;		/* authorities of token endpoints, where no property says; NULL, empty: the system's */
} StrmSinkConfig;

/* Why it failed. Texts live as long as the sink, and never hold credentials or contents of records. */
typedef struct StrmSinkError
{
	int			sqlstate;
	const char *message;
	const char *hint;			/* or NULL */
	bool		temporary;		/* trying again may help without anybody doing anything */
} StrmSinkError;

typedef enum StrmSinkState
{
	STRM_SINK_OPENING,			/* connecting, fencing older producers, reading the tails */
	STRM_SINK_READY,
	STRM_SINK_FAILED
} StrmSinkState;

/* What a partition held when the sink became ready. */
typedef struct StrmSinkTail
{
	int64		end;			/* offset of the next record */
	bool		found;			/* a record with a position header of the owner's, at starts or later */
	bool		foreign;		/* a later record is of somebody else */
	int64		offset;			/* of that record */
	const char *position;		/* its position header, terminated */
} StrmSinkTail;

typedef struct StrmSinkHeader
{
	const char *name;
	const char *value;
	Size		size;
} StrmSinkHeader;

typedef struct StrmSinkRecord
{
	int			partition;
	const char *key;
	Size		key_size;
	const char *value;			/* copied, and the copy wiped when it is gone where the sink can */
	Size		value_size;
	int			nheaders;
	const StrmSinkHeader *headers;
	uint64		cookie;
} StrmSinkRecord;

typedef enum StrmSinkResult
{
	STRM_SINK_DONE,
	STRM_SINK_AGAIN,			/* no room, or not finished yet: poll, and call again */
	STRM_SINK_REFUSED			/* the sink has failed: see error */
} StrmSinkResult;

typedef struct StrmSink StrmSink;

/* Told from within poll: the broker has the record. Not told of records whose sink failed, or that were purged. */
typedef void (*StrmSinkDelivered) (void *arg, uint64 cookie, int partition, int64 offset);

/* One record of a topic, for scan. key and header values live until the callback returns; nonce NULL: none. */
typedef void (*StrmSinkScanned) (void *arg, int partition, int64 offset, const char *key, Size key_size,
								 const char *nonce, Size nonce_size);

/* What check found out. */
typedef struct StrmSinkTopic
{
	int			partitions;
	bool		created;
} StrmSinkTopic;

typedef struct StrmSinkBroker StrmSinkBroker;

typedef struct StrmSinkKind
{
	/*
	 * Starts opening. wake_fd, an eventfd of the caller's, is written to when there is something to poll. Raises for
	 * properties it does not take.
	 */
	StrmSink   *(*open) (const StrmSinkConfig *config, int wake_fd, StrmSinkDelivered delivered, void *arg);
	/* Serves callbacks, goes on with opening; returns the state. */
	StrmSinkState (*poll) (StrmSink *sink);
	/* NULL: none. Of a sink that has not failed: what it struggles with (no broker). */
	const StrmSinkError *(*error) (StrmSink *sink);
	/* When ready. */
	int			(*partitions) (StrmSink *sink);
	const StrmSinkTail *(*tail) (StrmSink *sink, int partition);
	StrmSinkResult (*produce) (StrmSink *sink, const StrmSinkRecord *record);
	Size		(*queued) (StrmSink *sink); /* bytes that are not acknowledged */
	/* With transactions: begin is implied by the first record. commit: all records so far; DONE: they are committed. */
	StrmSinkResult (*commit) (StrmSink *sink);
	/* Forgets what is queued, within 2 seconds; wipes. Never raises; idempotent. */
	void		(*close) (StrmSink *sink);

	/*
	 * Checks that the topic can be written, and makes it with that number of partitions when it is missing. Blocks for
	 * at most timeout ms; raises what is wrong.
	 */
	void		(*check) (const StrmSinkConfig *config, int partitions, int timeout, StrmSinkTopic *topic);
	/* Calls scanned for all records from starts to the present end. Blocks, polls interrupts; raises. */
	void		(*scan) (const StrmSinkConfig *config, StrmSinkScanned scanned, void *arg);

	/* The embedded broker: in this process, on loopback, in memory. Not for production. */
	StrmSinkBroker *(*broker_start) (void);
	const char *(*broker_address) (StrmSinkBroker *broker);
	void		(*broker_topic) (StrmSinkBroker *broker, const char *topic, int partitions);
	void		(*broker_stop) (StrmSinkBroker *broker);
} StrmSinkKind;

/* The one exported function of the library. */
#define STRM_SINK_LIBRARY "strm_privacy_kafka"
#define STRM_SINK_FUNCTION "strm_kafka_sink"
typedef const StrmSinkKind *(*StrmSinkFunction) (void);

#endif							/* STRM_EXPORT_SINK_H */
