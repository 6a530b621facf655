"""What a start reads back and sends, on a real broker."""

from __future__ import annotations

import time
from collections.abc import Mapping
from itertools import islice

import pytest
from topics import fill

from headrace.config.kafka import KafkaSettings
from headrace.kafka.connection import Connection
from headrace.kafka.outlet import TopicOutlet, first_offsets, held_in
from headrace.kafka.producer import DecisionProducer
from headrace.kafka.starts import EARLIEST, LATEST, at_time
from headrace.shard.outgoing import Outgoing

pytestmark = [pytest.mark.integration, pytest.mark.broker]


def decision(number: int) -> Outgoing:
    line = b'{"decision_id":"fraud:p%d","event_id":"p%d","event_time":1,"kind":"fraud"}\n' % (number, number)
    return Outgoing(b"c%d" % number, f"fraud:p{number}", line)


@pytest.fixture
def connection(broker) -> Connection:
    return Connection(KafkaSettings(brokers=(broker.brokers,)))


@pytest.fixture
def outlet(connection):
    producer = DecisionProducer(connection)
    yield TopicOutlet(connection, producer)
    producer.close()


def test_what_arrives_while_a_topic_is_not_yet_quiet_is_read_back_too(broker, outlet, monkeypatch):
    """D-REPAIR-2."""
    topic = broker.create_topic(f"quiet-{time.time_ns()}", 1)
    for number in range(3):
        outlet.send("decisions", topic, decision(number))
    outlet.flush()

    ends, late = outlet.ends, iter(range(3, 6))

    def looked_at(of: str) -> Mapping[int, int]:
        """Another one stands in the topic each time that it is looked whether it grows."""
        for number in islice(late, 1):
            outlet.send("decisions", topic, decision(number))
            outlet.flush()
        return ends(of)

    monkeypatch.setattr(outlet, "ends", looked_at)
    found = list(outlet.read_back(topic, {0: 1}, 1))
    assert next(late, None) is None
    assert found == [f"fraud:p{number}" for number in range(1, 6)]
    assert outlet.ends(topic) == {0: 6}


def test_where_unknown_partitions_begin(broker, connection):
    topic = broker.create_topic(f"begin-{time.time_ns()}", 2, retention_ms="-1")
    fill(broker.brokers, topic, 0, [b"a", b"b", b"c"], times_ms=[1000, 2000, 3000])
    held = held_in(connection, topic)
    assert held == {0: (0, 3), 1: (0, 0)}

    def begin(start) -> dict[int, int]:
        return first_offsets(connection, topic, [0, 1], start, held)

    assert begin(EARLIEST) == {0: 0, 1: 0}
    assert begin(LATEST) == {0: 3, 1: 0}
    assert begin(at_time(1500)) == {0: 1, 1: 0}
    assert begin(at_time(10**15)) == {0: 3, 1: 0}
