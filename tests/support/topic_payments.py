"""Payments as messages of topics."""

from __future__ import annotations

import json

from confluent_kafka import Producer
from topic_worlds import PATIENCE_S, World


def payment(number: int, customer_id: str = "c") -> bytes:
    fields = {"type": "payment", "event_id": f"p{number}", "event_time": 1_700_000_000_000 + number * 1000}
    more = {"customer_id": customer_id, "merchant_id": "m", "amount": 10.0, "currency": "EUR"}
    return json.dumps(fields | more).encode()


def put(world: World, values: list[bytes | None], **options) -> None:
    settings = {"bootstrap.servers": world.brokers, "message.max.bytes": 10_000_000, "log_level": 0}
    producer = Producer(settings | options)
    for value in values:
        producer.produce(world.source, value)
    assert producer.flush(PATIENCE_S) == 0
