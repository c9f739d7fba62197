/*
 * embedded.c
 *	  The embedded broker: librdkafka's own for tests, in this process, on loopback.
 *
 *	  It is there to try things out. It keeps records in memory, the newest five megabytes of a partition or so, and
 *	  forgets the rest without a word; it knows no users, no TLS, no rights, no topic settings and no admin requests;
 *	  its transactions say yes to everything, and readers of committed records see aborted ones, too. Whoever may
 *	  connect to loopback may read and write.
 */
#include "postgres.h"

#include "kafka/sink_private.h"

struct StrmSinkBroker
{
	rd_kafka_t *rk;
	rd_kafka_mock_cluster_t *cluster;
	MemoryContextCallback on_reset;
};

/* The broker's handle has no brokers of its own, and would say so. */
static void
strm_kafka_broker_log(const rd_kafka_t *rk, int level, const char *facility, const char *text)
{
}

/* The broker's memory goes. */
static void
strm_kafka_broker_on_reset(void *arg)
{
	strm_kafka_broker_stop(arg);
}

StrmSinkBroker *
strm_kafka_broker_start(void)
{
	StrmSinkBroker *broker = palloc0(sizeof(StrmSinkBroker));
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	StrmKafkaFailure failure;

	broker->on_reset.func = strm_kafka_broker_on_reset;
	broker->on_reset.arg = broker;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, &broker->on_reset);
	rd_kafka_conf_set_log_cb(conf, strm_kafka_broker_log);
	broker->rk = strm_kafka_new(conf, STRM_KAFKA_PRODUCER, &failure);
	if (broker->rk != NULL)
		broker->cluster = rd_kafka_mock_cluster_new(broker->rk, 1);
	if (broker->cluster == NULL)
	{
		strm_kafka_broker_stop(broker);
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
				 errmsg("the embedded Kafka broker could not be started")));
	}
	return broker;
}

const char *
strm_kafka_broker_address(StrmSinkBroker *broker)
{
	return rd_kafka_mock_cluster_bootstraps(broker->cluster);
}

void
strm_kafka_broker_topic(StrmSinkBroker *broker, const char *topic, int partitions)
{
	rd_kafka_resp_err_t err = rd_kafka_mock_topic_create(broker->cluster, topic, partitions, 1);

	if (err != RD_KAFKA_RESP_ERR_NO_ERROR && err != RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the embedded Kafka broker makes no topic \"%s\": %s", topic, rd_kafka_err2str(err))));
}

void
strm_kafka_broker_stop(StrmSinkBroker *broker)
{
	if (broker->cluster != NULL)
		rd_kafka_mock_cluster_destroy(broker->cluster);
	if (broker->rk != NULL)
		rd_kafka_destroy(broker->rk);
	broker->cluster = NULL;
	broker->rk = NULL;
}
