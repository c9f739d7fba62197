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

typedef struct StrmKafkaTask StrmKafkaTask;

struct StrmKafkaTask
{
	void		(*run) (StrmKafkaTask *task);	/* in the thread */
	void		(*free) (StrmKafkaTask *task);	/* whatever it holds, itself included */
	int			wake_fd;		/* written to when it is done, unless it was cancelled; -1: none */

	/* Under lock. */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool		cancelled;
	bool		released;		/* touches nothing any more that belongs to the one that started it */
	bool		done;
	int			users;
};

/* Starts a task whose run, free and wake_fd are set. False: there is no thread to be had; the task is freed. */
extern bool strm_kafka_task_start(StrmKafkaTask *task);

/* For the one that started it: is it done? */
extern bool strm_kafka_task_done(StrmKafkaTask *task);

/* For the same: waits until it is done (or only released), at most that many ms. */
extern bool strm_kafka_task_wait(StrmKafkaTask *task, bool released, int timeout);

/* For the same: asks it to end, and leaves it. */
extern void strm_kafka_task_cancel(StrmKafkaTask *task);
extern void strm_kafka_task_leave(StrmKafkaTask *task);

/* For the thread: sleeps; false: it was cancelled. 0 ms: only asks. */
extern bool strm_kafka_task_pause(StrmKafkaTask *task, int ms);
extern void strm_kafka_task_release(StrmKafkaTask *task);
/* It is done, but for tidying up. Implied by the end of run. */
extern void strm_kafka_task_finish(StrmKafkaTask *task);

#endif							/* STRM_KAFKA_TASK_H */
