"""Puts messages into topics, with the client itself and nothing of ours."""

from __future__ import annotations

from collections.abc import Sequence

from confluent_kafka import Producer


def fill(
    brokers: str, topic: str, partition: int, values: Sequence[bytes | None], *, times_ms: Sequence[int] = ()
) -> None:
    """Send values to a partition and wait until they are there."""
    producer = Producer({"bootstrap.servers": brokers, "acks": "all", "linger.ms": 5, "log_level": 0})
    for place, value in enumerate(values):
        time_ms = times_ms[place] if times_ms else 0
        producer.produce(topic, value, partition=partition, timestamp=time_ms)
    assert producer.flush(60) == 0
