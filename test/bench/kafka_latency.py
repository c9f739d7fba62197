#!/usr/bin/python3
"""Latency of an exporter: rows are inserted at a steady rate, each in a transaction of its own.

usage: kafka_latency.py EXPORTER BOOTSTRAP TOPIC RATE SECONDS     (libpq's variables say where the server is)

Prints a line each for two ends, in milliseconds since COMMIT returned: p50 p95 p99 max, and the number of events.
  acknowledged  the worker's own note of when the last acknowledgement came, asked for before the next row is inserted: it is
                the row's own, as the number of acknowledged events tells. The same machine, the same clock.
  consumed      a consumer, another process, has the record: a round trip more.
A third line tells how long inserts took (the statement, with its COMMIT), for comparison.
"""
import json
import multiprocessing
import sys
import time

import confluent_kafka
import psycopg

WARM_UP = 2.0
MARK = "https://shop.example/latency/"


def consume(bootstrap, topic, ready, results):
    """Puts number -> time of arrival into results, when it is told to end by a record that says so."""
    consumer = confluent_kafka.Consumer({"bootstrap.servers": bootstrap, "group.id": "latency", "enable.auto.commit": False,
                                         "fetch.wait.max.ms": 500, "fetch.min.bytes": 1})
    partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
    consumer.assign([confluent_kafka.TopicPartition(topic, p, consumer.get_watermark_offsets(
        confluent_kafka.TopicPartition(topic, p), timeout=10)[1]) for p in partitions])
    consumer.poll(0.5)
    ready.set()
    arrived = {}
    quiet = time.time() + 30
    while time.time() < quiet:
        message = consumer.poll(1.0)
        if message is None:
            if not ready.is_set():
                break
            continue
        now = time.time()
        url = json.loads(message.value()).get("url", "") if message.error() is None else ""
        if url.startswith(MARK):
            arrived[int(url[len(MARK):])] = now
            quiet = now + 30
    results.put(arrived)


def show(title, times):
    """One line of quantiles."""
    times = sorted(1000 * t for t in times)
    quantiles = [times[min(len(times) - 1, int(q * len(times)))] for q in (0.5, 0.95, 0.99)]
    print(title, *("%.3f" % t for t in [*quantiles, times[-1]]), len(times))


def main():
    exporter, bootstrap, topic, rate, seconds = sys.argv[1:]
    rate, seconds = float(rate), float(seconds)
    ready, results = multiprocessing.Event(), multiprocessing.Queue()
    reader = multiprocessing.Process(target=consume, args=(bootstrap, topic, ready, results))
    reader.start()
    ready.wait()

    connection = psycopg.connect(autocommit=True)
    watch = psycopg.connect(autocommit=True)
    watch.prepare_threshold = connection.prepare_threshold = 0
    identity = watch.execute("SELECT id FROM strm.kafka_exporters WHERE name = %s", [exporter]).fetchone()[0]

    def progress():
        return watch.execute("SELECT sent, extract(epoch FROM last_sent)::float8 FROM strm.kafka_exporter_progress() WHERE id = %s",
                             [identity]).fetchone()

    sent = progress()[0]
    begun, returned, acknowledged = [], [], []
    start = time.time()
    n = 0
    while (due := start + n / rate) < start + WARM_UP + seconds:
        time.sleep(max(0, due - time.time()))
        if n > 0:
            count, at = progress()
            while count < sent + n:
                time.sleep(0.0002)
                count, at = progress()
            acknowledged.append(at)
        begun.append(time.time())
        connection.execute("INSERT INTO clicks (strm_consent_levels, session_id, customer_id, email, url, user_agent) VALUES "
                           "('{1,2,3}', %s, 'customer-1', 'name@shop.example', %s, 'Mozilla/5.0')",
                           ["latency-%d" % (n % 500), MARK + str(n)])
        returned.append(time.time())
        n += 1
    time.sleep(0.5)
    acknowledged.append(progress()[1])
    ready.clear()
    arrived = results.get()
    reader.join()
    first = int(WARM_UP * rate)
    show("acknowledged", [a - r for a, r in list(zip(acknowledged, returned))[first:]])
    show("consumed", [arrived[i] - returned[i] for i in range(first, n) if i in arrived])
    show("inserted", [r - b for r, b in list(zip(returned, begun))[first:]])


main()
