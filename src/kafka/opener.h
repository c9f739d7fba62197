/*
 * opener.h
 *	  What happens before a sink can be written to: older producers are fenced, and the tails of all partitions read.
 *
 *	  A task, as most calls for it block.
 */
#ifndef STRM_KAFKA_OPENER_H
#define STRM_KAFKA_OPENER_H

#include "kafka/reader.h"
#include "kafka/task.h"

#define STRM_KAFKA_POSITION_SIZE 256	/* longer ones are not ours */

typedef struct StrmKafkaTail
{
	bool		found;
	bool		foreign;
	int64		offset;
	char		position[STRM_KAFKA_POSITION_SIZE];
} StrmKafkaTail;

typedef struct StrmKafkaOpener
{
	StrmKafkaTask task;			/* must be first */

	/* Given. The texts and starts are copies. */
	rd_kafka_t *producer;		/* NULL: nothing to fence; not used once the task is released */
	rd_kafka_conf_t *scout_conf;
	rd_kafka_conf_t *reader_conf;	/* NULL: only the bounds are wanted */
	char	   *topic;
	char	   *owner;
	int64	   *starts;
	int			nstarts;

	/* Found: to be read when the task is done. */
	bool		failed;
	StrmKafkaBounds bounds;
	StrmKafkaTail *tails;

	/* Under the task's lock: why it failed, or what it struggles with. */
	StrmKafkaFailure failure;

	/* The task's own. */
	StrmKafkaReader reader;
	int			settle;			/* ms to leave to the brokers */
} StrmKafkaOpener;

/* Starts it; raises. producer: NULL, or a transactional one. with_tails: not only bounds. */
extern StrmKafkaOpener *strm_kafka_opener_start(const StrmSinkConfig *config, rd_kafka_t *producer, bool with_tails,
												int wake_fd);

/* What it says at present. */
extern void strm_kafka_opener_failure(StrmKafkaOpener *opener, StrmKafkaFailure *failure);

#endif							/* STRM_KAFKA_OPENER_H */
