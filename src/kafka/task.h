/*
 * task.h
 *	  What would block the server's thread, done in a thread of its own.
 *
 *	  Such a thread calls no function of the server, takes none of its signals, and touches only what belongs to the
 *	  task, which is of malloc. A task is shared by the one that started it and its thread; the last to leave it frees
 *	  it.
 */
#ifndef STRM_KAFKA_TASK_H
#define STRM_KAFKA_TASK_H


#include <pthread.h>

/* How far a task is. */
typedef enum StrmKafkaStage
{
	STRM_KAFKA_RUNNING,
	STRM_KAFKA_RELEASED,		/* touches nothing any more that belongs to the one that started it */
	STRM_KAFKA_FINISHED,		/* has its result, and tidies up */
	STRM_KAFKA_ENDED			/* so does its thread */
} StrmKafkaStage;

typedef struct StrmKafkaTask StrmKafkaTask;

struct StrmKafkaTask
{
	void		(*run) (StrmKafkaTask *task);	/* in the thread */
	void		(*free) (StrmKafkaTask *task);	/* whatever it holds, itself included */
	int			wake_fd;		/* written to when it has finished, unless it was cancelled; -1: none */

	/* Under lock. */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool		cancelled;
	StrmKafkaStage stage;
	int			users;
};

/* Starts a task whose run, free and wake_fd are set. False: there is no thread to be had; the task is freed. */
extern bool strm_kafka_task_start(StrmKafkaTask *task);

/* For the one that started it: has it finished? */
extern bool strm_kafka_task_done(StrmKafkaTask *task);

/* For the same: waits until it is that far, at most timeout ms; is it? */
extern bool strm_kafka_task_wait(StrmKafkaTask *task, StrmKafkaStage stage, int timeout);

/* For the same: asks it to end, and leaves it. */
extern void strm_kafka_task_cancel(StrmKafkaTask *task);
extern void strm_kafka_task_leave(StrmKafkaTask *task);

/* For the thread: sleeps; false: it was cancelled. 0 ms: only asks. */
extern bool strm_kafka_task_pause(StrmKafkaTask *task, int ms);

/* For the thread: it is that far. The end of run says that it ends. */
extern void strm_kafka_task_reach(StrmKafkaTask *task, StrmKafkaStage stage);

#endif							/* STRM_KAFKA_TASK_H */
