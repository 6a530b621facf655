"""What scenes of pages do with topics, by a name and its arguments: `send`, `wait`, `group`."""

from __future__ import annotations

import argparse
import sys

from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, Producer
from confluent_kafka.admin import AdminClient

PATIENCE_S = 600


def send(brokers: str, name: str) -> None:
    """Send each line of standard input as a message and wait until all are there."""
    producer = Producer({"bootstrap.servers": brokers, "acks": "all", "log_level": 0})
    for line in sys.stdin.buffer:
        producer.produce(name, line.rstrip(b"\n"))
    if producer.flush(PATIENCE_S):
        raise SystemExit(f"{name}: not all were delivered")


def wait(brokers: str, name: str, number: str) -> None:
    """Print the messages of a topic as they come, until there are so many."""
    consumer = Consumer(
        {
            "bootstrap.servers": brokers,
            "group.id": f"the reader of {name}",
            "auto.offset.reset": "earliest",
            "log_level": 0,
        }
    )
    consumer.subscribe([name])
    for message in consumer.consume(int(number), PATIENCE_S):
        number = str(int(number) - (message.error() is None))
        print(message.value().decode())
    consumer.close()
    if number != "0":
        raise SystemExit(f"{name}: {number} fewer came")


def group(*options: str) -> None:
    """Tell a group's positions, as `kafka-consumer-groups.sh` does, which the tests' jars don't have.

    It ends with 1 while there are none.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--bootstrap-server", required=True)
    parser.add_argument("--describe", action="store_true", required=True)
    parser.add_argument("--group", required=True)
    asked = parser.parse_args(options)
    admin = AdminClient({"bootstrap.servers": asked.bootstrap_server, "log_level": 0})
    listed = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(asked.group)])
    found = listed[asked.group].result(PATIENCE_S).topic_partitions
    for each in found:
        print(asked.group, each.topic, each.partition, each.offset)
    if not found:
        raise SystemExit(1)


if __name__ == "__main__":
    {"send": send, "wait": wait, "group": group}[sys.argv[1]](*sys.argv[2:])
