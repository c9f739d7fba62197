/*
 * sink_private.h
 *	  A sink: one producer, and what is on its way. See export/sink.h.
 *
 *	  Everything here belongs to the server's thread, except what is behind a task. What the client library may still
 *	  refer to when the sink's memory context goes (records) is of malloc.
 */
#ifndef STRM_KAFKA_SINK_PRIVATE_H
#define STRM_KAFKA_SINK_PRIVATE_H

#include "lib/ilist.h"
#include "utils/timestamp.h"

#include "kafka/handle.h"
#include "kafka/opener.h"

/* A record on its way. */
typedef struct StrmKafkaRecord
{
	dlist_node	node;
	Size		size;			/* as counted in queued */
	Size		value_size;
	uint64		cookie;
	char		value[FLEXIBLE_ARRAY_MEMBER];
} StrmKafkaRecord;

/* What is known of a partition. See produce.c for priming. */
typedef struct StrmKafkaPartition
{
	int			nqueued;		/* records that are not acknowledged */
	bool		primed;
	TimestampTz last;			/* when one was acknowledged last */
} StrmKafkaPartition;

#define STRM_KAFKA_FACILITIES 8

/* When something was logged. */
typedef struct StrmKafkaLogged
{
	char		facility[16];
	TimestampTz at;
} StrmKafkaLogged;

/* Ending a transaction. */
typedef struct StrmKafkaEnding
{
	StrmKafkaTask task;			/* must be first */
	rd_kafka_t *rk;
	bool		abort;
	bool		failed;
	StrmKafkaFailure failure;
} StrmKafkaEnding;

struct StrmSink
{
	char	   *label;
	char	   *topic_name;
	bool		transactional;
	Size		queue_size;
	int			wake_fd;
	StrmSinkDelivered delivered;
	void	   *arg;
	MemoryContext cxt;
	MemoryContextCallback on_reset;
	bool		closed;

	rd_kafka_t *rk;
	rd_kafka_topic_t *topic;
	rd_kafka_queue_t *queue;
	rd_kafka_event_t *event;	/* the one that is being served */
	StrmKafkaLogged logged[STRM_KAFKA_FACILITIES];

	StrmSinkState state;
	StrmKafkaOpener *opener;	/* kept until the end, as it may still tidy up */
	StrmKafkaFailure failure;	/* why it failed, or what it struggles with; sqlstate 0: nothing */
	StrmSinkError error;		/* the same for the caller */
	TimestampTz refused_since;	/* authentication fails since, without any success; 0: it does not */
	TimestampTz fatal_since;	/* the producer is at its end since: why is still to come; 0: it is not */

	int			npartitions;
	StrmSinkTail *tails;
	StrmKafkaPartition *partitions;

	dlist_head	records;		/* on their way, the oldest first */
	Size		queued;
	bool		in_transaction;
	StrmKafkaEnding *ending;	/* the commit on its way */
};

/* events.c: serves what the library has to say, for a bounded time. */
extern void strm_kafka_serve(StrmSink *sink);
/* Only of what has been on its way, without callbacks: for closing. False: there was nothing. */
extern bool strm_kafka_drain(StrmSink *sink, int timeout);

/* sink.c: the sink has failed (only the first reason counts), or struggles. */
extern void strm_kafka_fail(StrmSink *sink, const StrmKafkaFailure *failure);
extern void strm_kafka_fail_with(StrmSink *sink, rd_kafka_resp_err_t err, const char *words, const char *doing);

/* produce.c */
extern StrmSinkResult strm_kafka_produce(StrmSink *sink, const StrmSinkRecord *record);
/* Forgets a record that is not on its way any more, and wipes it. */
extern void strm_kafka_record_done(StrmSink *sink, StrmKafkaRecord *record, int partition);

/* transaction.c */
extern bool strm_kafka_begin(StrmSink *sink);	/* false: failed */
extern StrmSinkResult strm_kafka_commit(StrmSink *sink);
/* For closing: gives up a transaction, in at most that many ms. */
extern void strm_kafka_abort(StrmSink *sink, int timeout);
/* A record was given up: why does the transaction not go on? */
extern void strm_kafka_transaction_failed(StrmSink *sink);

/* close.c */
extern void strm_kafka_close(StrmSink *sink);

/* check.c, scan.c, embedded.c */
extern void strm_kafka_check_topic(const StrmSinkConfig *config, int partitions, int timeout, StrmSinkTopic *result);
extern void strm_kafka_scan(const StrmSinkConfig *config, StrmSinkScanned scanned, void *arg);
extern StrmSinkBroker *strm_kafka_broker_start(void);
extern const char *strm_kafka_broker_address(StrmSinkBroker *broker);
extern void strm_kafka_broker_topic(StrmSinkBroker *broker, const char *topic, int partitions);
extern void strm_kafka_broker_stop(StrmSinkBroker *broker);

#endif							/* STRM_KAFKA_SINK_PRIVATE_H */
