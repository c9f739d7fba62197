/*
 * check.c
 *	  Can a topic be written? Asks the brokers, and makes the topic when it is missing.
 *
 *	  Blocks, in slices of half a second at most, between which interrupts are served. What cannot get better by waiting
 *	  (credentials, certificates, rights) is raised at once; for what can, the time is used up, of which brokers have a
 *	  part to answer at all.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/latch.h"
#include "utils/wait_event.h"

#include "kafka/sink_private.h"

#define STRM_KAFKA_CHECK_SLICE 500	/* milliseconds */
#define STRM_KAFKA_CHECK_PAUSE 20
#define STRM_KAFKA_CHECK_CONTACT 20000	/* in which a broker answers, or is not there */
#define STRM_KAFKA_CHECK_RIGHTS 300 /* in which a producer that may not write is told so */

/* A check on its way. */
typedef struct StrmKafkaCheck
{
	const StrmSinkConfig *config;
	rd_kafka_t *rk;
	rd_kafka_topic_t *topic;
	rd_kafka_queue_t *queue;	/* of the handle */
	rd_kafka_queue_t *answers;	/* to admin requests */
	rd_kafka_event_t *answer;	/* the one that is read */
	TimestampTz until;
	TimestampTz contact_until;	/* 0: a broker has answered */
	StrmKafkaFailure failure;	/* what it struggled with last */
} StrmKafkaCheck;

/* Says what went wrong with the topic, and raises it if waiting does not help. */
static void
strm_kafka_check_note(StrmKafkaCheck *check, rd_kafka_resp_err_t err, const char *words, const char *what)
{
	char		doing[400];

	snprintf(doing, sizeof(doing), "cannot %s topic \"%s\"", what, check->config->topic);
	strm_kafka_failure_set(&check->failure, check->rk, err, words, doing);
	if (!check->failure.temporary)
		strm_kafka_raise(check->config, &check->failure);
}

/* What the handle has to say. */
static void
strm_kafka_check_serve(StrmKafkaCheck *check)
{
	rd_kafka_event_t *event;

	while ((event = rd_kafka_queue_poll(check->queue, 0)) != NULL)
	{
		rd_kafka_resp_err_t err = rd_kafka_event_type(event) == RD_KAFKA_EVENT_ERROR ? rd_kafka_event_error(event) :
			RD_KAFKA_RESP_ERR_NO_ERROR;
		char		words[512] = "";

		if (err != RD_KAFKA_RESP_ERR_NO_ERROR)
			strlcpy(words, rd_kafka_event_error_string(event), sizeof(words));
		rd_kafka_event_destroy(event);
		if (err == RD_KAFKA_RESP_ERR__FATAL)
		{
			err = rd_kafka_fatal_error(check->rk, words, sizeof(words));
			strm_kafka_check_note(check, err, words, "write to");
		}
		else if (err != RD_KAFKA_RESP_ERR_NO_ERROR &&
				 !(err == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN && check->failure.sqlstate != 0))
		{
			strm_kafka_failure_set(&check->failure, check->rk, err, words, "cannot reach the Kafka brokers");
			if (check->failure.refused)
				strm_kafka_raise(check->config, &check->failure);
		}
	}
}

/* Waits a little; raises when the time is up. */
static void
strm_kafka_check_pause(StrmKafkaCheck *check)
{
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, STRM_KAFKA_CHECK_PAUSE,
					 PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
	strm_kafka_check_serve(check);
	if (GetCurrentTimestamp() < (check->contact_until != 0 ? check->contact_until : check->until))
		return;
	if (check->failure.sqlstate == 0)
		strm_kafka_failure_say(&check->failure, ERRCODE_CONNECTION_FAILURE, true, NULL,
							   "the Kafka brokers did not answer in time");
	strm_kafka_raise(check->config, &check->failure);
}

/* Waits for the answer to an admin request. */
static rd_kafka_event_t *
strm_kafka_check_answer(StrmKafkaCheck *check)
{
	if (check->answer != NULL)
		rd_kafka_event_destroy(check->answer);
	while ((check->answer = rd_kafka_queue_poll(check->answers, 0)) == NULL)
		strm_kafka_check_pause(check);
	return check->answer;
}

/* How many partitions the topic has; 0: there is no such topic. */
static int
strm_kafka_check_count(StrmKafkaCheck *check)
{
	for (;;)
	{
		const struct rd_kafka_metadata *metadata;
		rd_kafka_resp_err_t err = rd_kafka_metadata(check->rk, 0, check->topic, &metadata, STRM_KAFKA_CHECK_SLICE);
		int			count = 0;

		if (err == RD_KAFKA_RESP_ERR_NO_ERROR)
		{
			check->contact_until = 0;
			if (metadata->topic_cnt == 1)
			{
				err = metadata->topics[0].err;
				count = metadata->topics[0].partition_cnt;
			}
			rd_kafka_metadata_destroy(metadata);
			if (count > 0 || err == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART)
				return count;
		}
		/* That it timed out says less than what the handle may have said. */
		if (err != RD_KAFKA_RESP_ERR_NO_ERROR && err != RD_KAFKA_RESP_ERR__TRANSPORT &&
			err != RD_KAFKA_RESP_ERR__TIMED_OUT)
			strm_kafka_check_note(check, err, NULL, "look up");
		strm_kafka_check_pause(check);
	}
}

/* Makes the topic. False: somebody else was faster. */
static bool
strm_kafka_check_create(StrmKafkaCheck *check, int partitions)
{
	char		words[512];
	rd_kafka_NewTopic_t *topic = rd_kafka_NewTopic_new(check->config->topic, partitions, -1, words, sizeof(words));
	rd_kafka_AdminOptions_t *options;
	const rd_kafka_CreateTopics_result_t *result;
	const rd_kafka_topic_result_t **topics;
	rd_kafka_event_t *answer;
	rd_kafka_resp_err_t err;
	size_t		count;

	if (topic == NULL)
		strm_kafka_check_note(check, RD_KAFKA_RESP_ERR__INVALID_ARG, words, "create");
	options = rd_kafka_AdminOptions_new(check->rk, RD_KAFKA_ADMIN_OP_CREATETOPICS);
	rd_kafka_AdminOptions_set_operation_timeout(options, STRM_KAFKA_CHECK_SLICE * 10, words, sizeof(words));
	rd_kafka_CreateTopics(check->rk, &topic, 1, options, check->answers);
	rd_kafka_AdminOptions_destroy(options);
	rd_kafka_NewTopic_destroy(topic);

	answer = strm_kafka_check_answer(check);
	if (rd_kafka_event_error(answer) != RD_KAFKA_RESP_ERR_NO_ERROR)
	{
		strm_kafka_check_note(check, rd_kafka_event_error(answer), rd_kafka_event_error_string(answer), "create");
		return false;
	}
	result = rd_kafka_event_CreateTopics_result(answer);
	topics = rd_kafka_CreateTopics_result_topics(result, &count);
	err = count == 1 ? rd_kafka_topic_result_error(topics[0]) : RD_KAFKA_RESP_ERR__FAIL;
	if (err == RD_KAFKA_RESP_ERR_NO_ERROR)
		return true;
	if (err != RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS)
		strm_kafka_check_note(check, err, count == 1 ? rd_kafka_topic_result_error_string(topics[0]) : NULL, "create");
	return false;
}

/* May the user read and write the topic? Brokers that do not say so are believed. */
static void
strm_kafka_check_rights(StrmKafkaCheck *check)
{
#ifdef STRM_KAFKA_HAS_TOPIC_RIGHTS
	rd_kafka_AdminOptions_t *options = rd_kafka_AdminOptions_new(check->rk, RD_KAFKA_ADMIN_OP_DESCRIBETOPICS);
	const char *names[1] = {check->config->topic};
	rd_kafka_TopicCollection_t *topics = rd_kafka_TopicCollection_of_topic_names(names, 1);
	rd_kafka_event_t *answer;
	const rd_kafka_TopicDescription_t **descriptions;
	const rd_kafka_AclOperation_t *operations = NULL;
	size_t		count = 0;
	bool		reads = false;
	bool		writes = false;

	rd_kafka_error_destroy(rd_kafka_AdminOptions_set_include_authorized_operations(options, 1));
	rd_kafka_DescribeTopics(check->rk, topics, options, check->answers);
	rd_kafka_AdminOptions_destroy(options);
	rd_kafka_TopicCollection_destroy(topics);
	answer = strm_kafka_check_answer(check);
	if (rd_kafka_event_error(answer) != RD_KAFKA_RESP_ERR_NO_ERROR)
		return;
	descriptions = rd_kafka_DescribeTopics_result_topics(rd_kafka_event_DescribeTopics_result(answer), &count);
	if (count == 1)
		operations = rd_kafka_TopicDescription_authorized_operations(descriptions[0], &count);
	if (operations == NULL || count == 0)
		return;
	for (size_t i = 0; i < count; i++)
	{
		reads = reads || operations[i] == RD_KAFKA_ACL_OPERATION_READ || operations[i] == RD_KAFKA_ACL_OPERATION_ALL;
		writes = writes || operations[i] == RD_KAFKA_ACL_OPERATION_WRITE || operations[i] == RD_KAFKA_ACL_OPERATION_ALL;
	}
	if (!reads || !writes)
		strm_kafka_check_note(check, RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, NULL, writes ? "read" : "write to");
#endif
}

/* May the user be a producer? One that may not is told so soon after it has connected. */
static void
strm_kafka_check_producer(StrmKafkaCheck *check)
{
	TimestampTz until = GetCurrentTimestamp() + STRM_KAFKA_CHECK_RIGHTS * INT64CONST(1000);
	rd_kafka_error_t *error;

	if (check->config->transactional_id == NULL)
	{
		while (GetCurrentTimestamp() < until)
			strm_kafka_check_pause(check);
		return;
	}
	while ((error = rd_kafka_init_transactions(check->rk, STRM_KAFKA_CHECK_SLICE)) != NULL)
	{
		bool		again = rd_kafka_error_is_retriable(error);

		strm_kafka_failure_set(&check->failure, check->rk, rd_kafka_error_code(error), rd_kafka_error_string(error),
							   "cannot begin transactions");
		rd_kafka_error_destroy(error);
		if (!again)
			strm_kafka_raise(check->config, &check->failure);
		strm_kafka_check_pause(check);
	}
}

/* The check. */
static void
strm_kafka_check_all(StrmKafkaCheck *check, int partitions, StrmSinkTopic *result)
{
	check->rk = strm_kafka_producer(check->config);
	check->queue = rd_kafka_queue_get_main(check->rk);
	rd_kafka_set_log_queue(check->rk, check->queue);
	check->answers = rd_kafka_queue_new(check->rk);
	check->topic = rd_kafka_topic_new(check->rk, check->config->topic, NULL);
	if (check->topic == NULL)
		strm_kafka_check_note(check, RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION, NULL, "use");
	result->created = false;
	result->partitions = strm_kafka_check_count(check);
	if (result->partitions == 0)
	{
		result->created = strm_kafka_check_create(check, partitions);
		while ((result->partitions = strm_kafka_check_count(check)) == 0)
			strm_kafka_check_pause(check);
	}
	strm_kafka_check_rights(check);
	strm_kafka_check_producer(check);
}

void
strm_kafka_check_topic(const StrmSinkConfig *config, int partitions, int timeout, StrmSinkTopic *result)
{
	StrmKafkaCheck *check = palloc0(sizeof(StrmKafkaCheck));

	check->config = config;
	check->until = GetCurrentTimestamp() + timeout * INT64CONST(1000);
	check->contact_until = check->until - Max(timeout - STRM_KAFKA_CHECK_CONTACT, 0) * INT64CONST(1000);
	PG_TRY();
	{
		strm_kafka_check_all(check, partitions, result);
	}
	PG_FINALLY();
	{
		if (check->answer != NULL)
			rd_kafka_event_destroy(check->answer);
		if (check->answers != NULL)
			rd_kafka_queue_destroy(check->answers);
		if (check->queue != NULL)
			rd_kafka_queue_destroy(check->queue);
		if (check->topic != NULL)
			rd_kafka_topic_destroy(check->topic);
		if (check->rk != NULL)
			rd_kafka_destroy(check->rk);
	}
	PG_END_TRY();
}
