"""The broker that the other tests on Kafka rely on: it takes messages, and keeps them over a restart."""

from __future__ import annotations

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

pytestmark = [pytest.mark.integration, pytest.mark.broker]


def produce(brokers: str, topic: str, value: bytes) -> None:
    producer = Producer({"bootstrap.servers": brokers})
    producer.produce(topic, value)
    assert producer.flush(30) == 0


def read(brokers: str, topic: str, count: int) -> list[bytes | None]:
    consumer = Consumer({"bootstrap.servers": brokers, "group.id": "test"})
    consumer.assign([TopicPartition(topic, 0, 0)])
    messages = consumer.consume(count, 30)
    consumer.close()
    return [message.value() for message in messages]


@pytest.mark.parametrize("kill", [False, True])
def test_what_was_taken_is_kept_over_a_restart(own_broker, kill):
    topic = own_broker.create_topic(f"kept-{kill}")
    produce(own_broker.brokers, topic, b"before")
    own_broker.stop(kill=kill)
    own_broker.start()
    produce(own_broker.brokers, topic, b"after")
    assert read(own_broker.brokers, topic, 2) == [b"before", b"after"]
