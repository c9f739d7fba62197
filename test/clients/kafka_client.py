"""python-confluent-kafka (librdkafka) as consumer of a whole topic.

Usage: kafka_client.py TOPIC NAME=VALUE ... (properties of librdkafka). Prints a line for each record as KafkaClient.java does:
partition, offset, timestamp, '-', key, value and headers (name:value), in base64, with tabs between them; '-': there is none.
"""
import sys
from base64 import b64encode

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition


def text(data):
    return "-" if data is None else b64encode(data).decode()


def main(topic, *arguments):
    properties = {"group.id": "unused", "enable.auto.commit": False, "enable.partition.eof": True}
    consumer = Consumer({**properties, **dict(argument.split("=", 1) for argument in arguments)})
    left = set(consumer.list_topics(topic, timeout=30).topics[topic].partitions)
    consumer.assign([TopicPartition(topic, p, OFFSET_BEGINNING) for p in left])
    while left:
        message = consumer.poll(30)
        if message is None:
            sys.exit("nothing comes")
        if message.error():
            if message.error().code() != KafkaError._PARTITION_EOF:
                raise KafkaException(message.error())
            left.discard(message.partition())
            continue
        headers = [text(name.encode()) + ":" + text(value) for name, value in message.headers() or []]
        fields = [message.partition(), message.offset(), message.timestamp()[1], "-", text(message.key()), text(message.value())]
        print(*fields, *headers, sep="\t")
    consumer.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
