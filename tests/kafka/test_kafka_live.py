"""Live messages on a real broker: they wait for no other topic, and how long they have waited is known."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from confluent_kafka import Producer
from topics import fill

from headrace.config.kafka import KafkaSettings
from headrace.dataflow.topic_reader import TopicReader
from headrace.kafka.connection import Connection
from headrace.kafka.fetched import Fetched
from headrace.kafka.partition_merge import PartitionMerge
from headrace.kafka.reader import PartitionReader
from headrace.kafka.starts import EARLIEST, Partition

pytestmark = [pytest.mark.integration, pytest.mark.broker]

PATIENCE_S = 600
PAYMENTS = 150


class Noting:
    """A reading that notes which messages of one partition it has handed out."""

    def __init__(self, reader: PartitionReader, watched: Partition) -> None:
        self._reader, self._watched = reader, watched
        self.handed_out = 0

    def read(self, messages_max: int, *, wait: bool = True) -> list[Fetched]:
        found = self._reader.read(messages_max, wait=wait)
        self.handed_out += sum(len(each.payloads) for each in found if each.partition == self._watched)
        return found

    def __getattr__(self, name: str):
        return getattr(self._reader, name)


@contextmanager
def committing(brokers: str, topic: str, every_s: float) -> Iterator[None]:
    """A producer that always has a transaction open in a topic, while this lasts."""
    producer = Producer(
        {"bootstrap.servers": brokers, "transactional.id": f"{topic}-{time.time_ns()}", "log_level": 0}
    )
    producer.init_transactions(PATIENCE_S)
    producer.begin_transaction()
    producer.produce(topic, event(0))
    producer.flush(PATIENCE_S)
    over = threading.Event()

    def go_on() -> None:
        while not over.wait(every_s):
            producer.commit_transaction(PATIENCE_S)
            producer.begin_transaction()
            producer.produce(topic, event(0))
            producer.flush(PATIENCE_S)

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(PATIENCE_S)
        producer.abort_transaction(PATIENCE_S)


def event(number: int) -> bytes:
    return json.dumps(
        {"type": "payment", "event_id": f"p{number}", "event_time": 1_700_000_000_000 + number}
    ).encode()


def reading(broker, *topics: str) -> tuple[TopicReader, Noting]:
    """What reads the first partition of each topic; the first one is watched."""
    places = [Partition(topic, 0) for topic in topics]
    connection = Connection(KafkaSettings(brokers=(broker.brokers,)))
    noting = Noting(PartitionReader(connection, dict.fromkeys(places, EARLIEST)), places[0])
    merge = PartitionMerge(
        range(len(topics)),
        batch_messages_max=512,
        buffer_messages_max=20_000,
        wait_ms_max=PATIENCE_S * 1000,
        future_skew_ms_max=3_600_000,
        agree_messages=3,
    )
    return TopicReader(noting, merge, {(each.topic, 0): at for at, each in enumerate(places)}, None), noting


@pytest.mark.parametrize("every_s", [0.05, 0.5])
def test_an_open_transaction_holds_no_live_decision_back(broker, every_s):
    """D-ORDER-4: no payment stays back in the turn in which it was read, whatever others have open."""
    payments, outcomes = (
        broker.create_topic(f"{name}-{time.time_ns()}", 1, retention_ms="-1")
        for name in ("payments", "outcomes")
    )
    producer = Producer({"bootstrap.servers": broker.brokers, "linger.ms": 0, "log_level": 0})
    reader, noting = reading(broker, payments, outcomes)
    given = waited = sent = 0
    deadline = time.monotonic() + PATIENCE_S
    try:
        with committing(broker.brokers, outcomes, every_s):
            while given < PAYMENTS:
                assert time.monotonic() < deadline, "payments don't come"
                if sent < PAYMENTS and sent <= given:
                    producer.produce(payments, event(sent))
                    producer.poll(0)
                    time.sleep(0.01)
                    sent += 1
                batch = reader.next_batch()
                given += batch.sources.count(0) if batch is not None else 0
                waited += noting.handed_out - given
        assert (waited, reader.merge_waits) == (0, 0)
    finally:
        reader.close()


def test_what_stood_in_the_topics_at_the_start_is_merged(broker):
    """D-ORDER-1: also while a transaction is open behind it."""
    first, second = (
        broker.create_topic(f"{name}-{time.time_ns()}", 1, retention_ms="-1") for name in ("even", "odd")
    )
    fill(broker.brokers, first, 0, [event(number) for number in range(0, 4000, 2)])
    fill(broker.brokers, second, 0, [event(number) for number in range(1, 4000, 2)])
    with committing(broker.brokers, second, PATIENCE_S):
        reader, _ = reading(broker, first, second)
        found: list[bytes] = []
        deadline = time.monotonic() + PATIENCE_S
        try:
            while len(found) < 4000:
                assert time.monotonic() < deadline, "it doesn't come"
                batch = reader.next_batch()
                found += batch.payloads if batch is not None else []
        finally:
            reader.close()
    assert found == [event(number) for number in range(4000)]
