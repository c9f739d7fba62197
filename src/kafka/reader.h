/*
 * reader.h
 *	  Reading a topic: how far it goes, and its records. Usable in any thread: no server function is called here.
 */
#ifndef STRM_KAFKA_READER_H
#define STRM_KAFKA_READER_H

#include "kafka/handle.h"

/* Where the partitions of a topic begin and end. */
typedef struct StrmKafkaBounds
{
	rd_kafka_t *rk;
	rd_kafka_topic_t *topic;
	int			npartitions;	/* 0: not known yet */
	int			known;			/* of that many the bounds are known */
	int64	   *first;			/* malloc'd; offset of the first record there is */
	int64	   *end;			/* offset of the next one that is written */
	int			missing;		/* times that there was no such topic */
	StrmKafkaFailure failure;
} StrmKafkaBounds;

typedef enum StrmKafkaStep
{
	STRM_KAFKA_AGAIN,			/* after a pause when there is a failure, which is temporary */
	STRM_KAFKA_DONE,
	STRM_KAFKA_FAILED
} StrmKafkaStep;

/* conf, a scout's, is gone then. False: failure says why; close it nevertheless. */
extern bool strm_kafka_bounds_open(StrmKafkaBounds *bounds, rd_kafka_conf_t *conf, const char *topic);

/* Asks for what is not known yet. Blocks, for a second as a rule, for ten when a broker does not answer. */
extern StrmKafkaStep strm_kafka_bounds_step(StrmKafkaBounds *bounds);

/*
 * Is there something in a partition beyond its end, which its leader has and the replicas do not have yet? Blocks for
 * timeout ms at most when it is so: then failure says it. False: it failed.
 */
extern bool strm_kafka_bounds_beyond(StrmKafkaBounds *bounds, int timeout, bool *beyond);

/* Ends the handle; and frees what was found out. */
extern void strm_kafka_bounds_close(StrmKafkaBounds *bounds);
extern void strm_kafka_bounds_free(StrmKafkaBounds *bounds);

/* Reads partitions of one topic. */
typedef struct StrmKafkaReader
{
	rd_kafka_t *rk;
	rd_kafka_topic_t *topic;
	rd_kafka_queue_t *queue;
	rd_kafka_message_t *message;	/* the present one */
	StrmKafkaFailure failure;
} StrmKafkaReader;

/* conf is gone then. False: failure says why; close it nevertheless. */
extern bool strm_kafka_reader_open(StrmKafkaReader *reader, rd_kafka_conf_t *conf, const char *topic);
extern bool strm_kafka_reader_start(StrmKafkaReader *reader, int partition, int64 offset);
extern void strm_kafka_reader_stop(StrmKafkaReader *reader, int partition);

/*
 * Waits at most timeout ms for a record, or for the end of a partition: then *end is the offset of the next one to
 * come. NULL: neither; failure may say why, and is temporary unless *failed. The message lives until the next call.
 */
extern const rd_kafka_message_t *strm_kafka_reader_next(StrmKafkaReader *reader, int timeout, int64 *end, bool *failed);
extern void strm_kafka_reader_close(StrmKafkaReader *reader);

/* A header of a record; NULL: none. */
extern const char *strm_kafka_header(const rd_kafka_message_t *message, const char *name, Size *size);

#endif							/* STRM_KAFKA_READER_H */
