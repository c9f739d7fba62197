/*
 * task.c
 *	  What would block the server's thread, done in a thread of its own.
 */
#include "postgres.h"

#include <signal.h>
#include <time.h>
#include <unistd.h>

#include "kafka/task.h"

/* A task's last user frees it. The lock is held, and is given up. */
static void
strm_kafka_task_drop(StrmKafkaTask *task)
{
	bool		last = --task->users == 0;

	pthread_mutex_unlock(&task->lock);
	if (last)
	{
		pthread_cond_destroy(&task->changed);
		pthread_mutex_destroy(&task->lock);
		task->free(task);
	}
}

/* The thread. */
static void *
strm_kafka_task_main(void *arg)
{
	StrmKafkaTask *task = arg;

	task->run(task);
	strm_kafka_task_reach(task, STRM_KAFKA_FINISHED);
	strm_kafka_task_reach(task, STRM_KAFKA_ENDED);
	pthread_mutex_lock(&task->lock);
	strm_kafka_task_drop(task);
	return NULL;
}

bool
strm_kafka_task_start(StrmKafkaTask *task)
{
	pthread_condattr_t clock;
	pthread_attr_t detached;
	pthread_t	thread;
	sigset_t	all;
	sigset_t	before;
	int			failed;

	pthread_mutex_init(&task->lock, NULL);
	pthread_condattr_init(&clock);
	pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
	pthread_cond_init(&task->changed, &clock);
	pthread_condattr_destroy(&clock);
	task->cancelled = false;
	task->stage = STRM_KAFKA_RUNNING;
	task->users = 2;

	pthread_attr_init(&detached);
	pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	failed = pthread_create(&thread, &detached, strm_kafka_task_main, task);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&detached);
	if (failed != 0)
	{
		pthread_mutex_lock(&task->lock);
		task->users--;
		strm_kafka_task_drop(task);
		return false;
	}
	return true;
}

/* The time in that many ms, for waiting. */
static struct timespec
strm_kafka_task_time(int ms)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	time.tv_sec += ms / 1000;
	time.tv_nsec += (ms % 1000) * 1000000L;
	if (time.tv_nsec >= 1000000000L)
	{
		time.tv_sec++;
		time.tv_nsec -= 1000000000L;
	}
	return time;
}

bool
strm_kafka_task_done(StrmKafkaTask *task)
{
	return strm_kafka_task_wait(task, STRM_KAFKA_FINISHED, 0);
}

bool
strm_kafka_task_wait(StrmKafkaTask *task, StrmKafkaStage stage, int timeout)
{
	struct timespec until = strm_kafka_task_time(timeout);
	bool		result;

	pthread_mutex_lock(&task->lock);
	while (task->stage < stage && timeout > 0 && pthread_cond_timedwait(&task->changed, &task->lock, &until) == 0)
		;
	result = task->stage >= stage;
	pthread_mutex_unlock(&task->lock);
	return result;
}

void
strm_kafka_task_cancel(StrmKafkaTask *task)
{
	pthread_mutex_lock(&task->lock);
	task->cancelled = true;
	pthread_cond_broadcast(&task->changed);
	pthread_mutex_unlock(&task->lock);
}

void
strm_kafka_task_leave(StrmKafkaTask *task)
{
	pthread_mutex_lock(&task->lock);
	task->cancelled = true;
	pthread_cond_broadcast(&task->changed);
	strm_kafka_task_drop(task);
}

bool
strm_kafka_task_pause(StrmKafkaTask *task, int ms)
{
	struct timespec until = strm_kafka_task_time(ms);
	bool		result;

	pthread_mutex_lock(&task->lock);
	while (!task->cancelled && ms > 0 && pthread_cond_timedwait(&task->changed, &task->lock, &until) == 0)
		;
	result = !task->cancelled;
	pthread_mutex_unlock(&task->lock);
	return result;
}

void
strm_kafka_task_reach(StrmKafkaTask *task, StrmKafkaStage stage)
{
	uint64		one = 1;

	pthread_mutex_lock(&task->lock);
	/* When it cannot be written to it is full, so it wakes anyway. */
	if (stage == STRM_KAFKA_FINISHED && task->stage < stage && !task->cancelled && task->wake_fd >= 0 &&
		write(task->wake_fd, &one, sizeof(one)) < 0)
		one = 0;
	task->stage = Max(task->stage, stage);
	pthread_cond_broadcast(&task->changed);
	pthread_mutex_unlock(&task->lock);
}
