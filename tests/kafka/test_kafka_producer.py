"""Sending to a real broker and reading back: what was taken is there, and what wasn't is an error."""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient
from topics import fill

from headrace.config.kafka import KafkaSettings
from headrace.errors import BrokerUnreachable, DeliveryFailed, OffsetLost, TopicMismatch
from headrace.kafka.cloudevents import Headings
from headrace.kafka.connection import Connection
from headrace.kafka.producer import DecisionProducer, ProducerRecord
from headrace.kafka.read_back import Delivered, end_offsets, read_back

pytestmark = [pytest.mark.integration, pytest.mark.broker]


def connection(brokers: str, **settings) -> Connection:
    return Connection(KafkaSettings(brokers=(brokers,), **settings))


@contextmanager
def sending(brokers: str, **settings) -> Iterator[DecisionProducer]:
    producer = DecisionProducer(connection(brokers, **settings))
    try:
        yield producer
    finally:
        producer.close()


@pytest.fixture
def topic(broker, request) -> str:
    return broker.create_topic(f"{request.node.originalname}-{time.time_ns()}", 2)


def outgoing(number: int, key: bytes | None = None) -> ProducerRecord:
    value = b'{"decision_id":"fraud:p-%d","event_time":1772357400000,"kind":"fraud"}' % number
    return (key, value, Headings("/headrace/test").of_decision(f"fraud:p-{number}", 1_772_357_400_000))


def held(brokers: str, topic: str, partition: int, count: int) -> list:
    consumer = Consumer({"bootstrap.servers": brokers, "group.id": "test"})
    consumer.assign([TopicPartition(topic, partition, 0)])
    messages = consumer.consume(count, 30)
    consumer.close()
    return messages


def test_messages_arrive_with_key_headers_and_in_order(broker, topic):
    told = []
    with sending(broker.brokers) as producer:
        messages = [outgoing(number, b"c-1") for number in range(100)]
        producer.send(topic, messages, lambda *place: told.append(place))
        producer.flush()
        ((partition, _), *_) = told
        assert told == [(partition, offset) for offset in range(100)]
        assert producer.counts == (100, 100, 0, 0)
        assert producer.counts.pending == 0
    messages = held(broker.brokers, topic, partition, 100)
    assert [message.value() for message in messages] == [outgoing(number)[1] for number in range(100)]
    assert {message.key() for message in messages} == {b"c-1"}
    assert messages[7].headers() == [
        ("ce_specversion", b"1.0"),
        ("ce_id", b"fraud:p-7"),
        ("ce_source", b"/headrace/test"),
        ("ce_type", b"headrace.decision.fraud"),
        ("ce_time", b"2026-03-01T09:30:00.000Z"),
        ("content-type", b"application/json"),
    ]


def test_a_key_goes_where_kafkas_own_clients_send_it(broker, topic):
    # Java's murmur2 of these keys, as known from its tests: the sign bit off, modulo the partitions.
    expected = {b"21": (-973932308 & 0x7FFFFFFF) % 2, b"foobar": (-790332482 & 0x7FFFFFFF) % 2}
    with sending(broker.brokers) as producer:
        told = []
        for key in expected:
            producer.send(topic, [outgoing(1, key)], lambda partition, _: told.append(partition))
            producer.flush()
        assert told == list(expected.values())


def test_sending_waits_while_too_much_is_undelivered(broker, topic):
    with sending(broker.brokers, send_queue_messages_max=10) as producer:
        producer.send(topic, [outgoing(number) for number in range(500)])
        producer.flush()
        assert producer.counts[:3] == (500, 500, 0)
        assert producer.counts.waits > 0
    assert len(list(read_back(connection(broker.brokers), topic, {}))) == 500


def test_a_message_that_is_too_large_is_refused(broker, topic):
    with sending(broker.brokers, message_bytes_max=2000) as producer:
        with pytest.raises(DeliveryFailed, match=r"a message of 3000 bytes .*message_bytes_max is 2000"):
            producer.send(topic, [(None, b"x" * 3000, [])])
        assert producer.counts.sent == 0


def test_a_message_that_the_broker_refuses_is_an_error_at_the_next_call(broker, topic):
    small = broker.create_topic(f"{topic}-small", max_message_bytes="1000")
    with sending(broker.brokers) as producer:
        producer.send(small, [(None, b"x" * 3000, [])])
        with pytest.raises(DeliveryFailed, match=f"{small}: a message was not delivered: .*too large"):
            producer.flush()
        assert producer.counts[:3] == (1, 0, 1)
        with pytest.raises(DeliveryFailed):
            producer.send(topic, [outgoing(1)])


def test_what_is_not_delivered_in_time_is_an_error(own_broker):
    own_broker.create_topic("late")
    with sending(own_broker.brokers) as before:  # a new broker takes a while before it lets anyone send
        before.send("late", [outgoing(0)])
        before.flush()
    with sending(own_broker.brokers, delivery_seconds_max=1.0) as producer:
        producer.send("late", [outgoing(1)])
        producer.flush()
        with own_broker.silent():
            producer.send("late", [outgoing(2)])
            with pytest.raises(DeliveryFailed):
                producer.flush(30)


def test_a_flush_has_a_limit(own_broker):
    own_broker.create_topic("unflushed")
    with sending(own_broker.brokers) as producer, own_broker.silent():
        producer.send("unflushed", [outgoing(1)])
        with pytest.raises(DeliveryFailed, match=r"1 messages were not delivered within 0\.5 seconds"):
            producer.flush(0.5)


def test_what_is_sent_while_the_broker_restarts_arrives_once_and_in_order(own_broker):
    own_broker.create_topic("restarted")
    with sending(own_broker.brokers) as producer:
        producer.send("restarted", [outgoing(number) for number in range(1000)])
        own_broker.stop(kill=True)
        producer.send("restarted", [outgoing(number) for number in range(1000, 2000)])
        own_broker.start()
        producer.flush(120)
    ids = [each.ce_id for each in read_back(connection(own_broker.brokers), "restarted", {})]
    assert ids == [f"fraud:p-{number}" for number in range(2000)]


def test_no_broker_is_an_error():
    with (
        pytest.raises(BrokerUnreachable, match=r"127\.0\.0\.1:1"),
        sending("127.0.0.1:1", metadata_seconds_max=1),
    ):
        pass


def test_what_was_delivered_is_read_back_up_to_the_present_end(broker, topic):
    to = connection(broker.brokers)
    with sending(broker.brokers) as producer:
        told = Counter()
        messages = [outgoing(number, b"%d" % number) for number in range(3000)]
        producer.send(topic, messages, lambda partition, _: told.update([partition]))
        producer.flush()
        assert end_offsets(to, topic) == told
        back = read_back(to, topic, {})
        first = next(back)
        producer.send(topic, [outgoing(3000, b"later")])
        producer.flush()
        found = [first, *back]
    assert Counter(each.ce_id for each in found) == Counter(f"fraud:p-{number}" for number in range(3000))
    for number, end in told.items():
        assert [each.offset for each in found if each.partition == number] == list(range(end))


def test_reading_back_begins_at_the_given_offsets(broker, topic):
    fill(broker.brokers, topic, 0, [b"a", b"b", b"c"])
    fill(broker.brokers, topic, 1, [b"d"])
    to = connection(broker.brokers)
    assert sorted(read_back(to, topic, {0: 2})) == [Delivered(0, 2, None), Delivered(1, 0, None)]
    assert list(read_back(to, topic, {0: 3, 1: 1})) == []


def test_what_is_deleted_is_not_read_back(broker, topic):
    fill(broker.brokers, topic, 0, [b"a", b"b", b"c"])
    admin = AdminClient({"bootstrap.servers": broker.brokers})
    for future in admin.delete_records([TopicPartition(topic, 0, 2)]).values():
        future.result(600)
    assert list(read_back(connection(broker.brokers), topic, {0: 1})) == [Delivered(0, 2, None)]


def test_reading_back_from_behind_the_end_is_refused(broker, topic):
    with pytest.raises(OffsetLost, match=rf"{topic}\[1\]: offset 5 is to be read next, .* holds 0 to 0"):
        list(read_back(connection(broker.brokers), topic, {1: 5}))


def test_reading_back_a_topic_that_is_not_there(broker):
    with pytest.raises(TopicMismatch, match="nowhere: there is no such topic"):
        list(read_back(connection(broker.brokers), "nowhere", {}))
    with pytest.raises(TopicMismatch, match="nowhere: there is no such topic"):
        end_offsets(connection(broker.brokers), "nowhere")


def test_reading_back_does_not_wait_for_ever(own_broker, monkeypatch):
    # Else everything might be fetched before the broker hangs.
    options = sys.modules[read_back.__module__]._OPTIONS
    monkeypatch.setitem(options, "queued.max.messages.kbytes", 1024)
    own_broker.create_topic("stuck")
    fill(own_broker.brokers, "stuck", 0, [b"x" * 1000] * 30_000)
    back = read_back(connection(own_broker.brokers, read_back_seconds_max=1.0), "stuck", {})
    next(back)
    with (
        own_broker.silent(),
        pytest.raises(BrokerUnreachable, match="stuck: nothing more could be read back for 1 seconds"),
    ):
        list(back)


@pytest.mark.skipif(sys.platform != "linux", reason="scheduling policies are Linux's")
def test_the_sending_threads_dont_take_the_core_from_the_one_that_decides(broker, topic):
    before = set(os.listdir("/proc/self/task"))
    with sending(broker.brokers) as producer:
        producer.send(topic, [outgoing(1)])
        producer.flush()
        started = {int(number) for number in set(os.listdir("/proc/self/task")) - before}
        # The client's own, one for the address that was configured, one for the broker behind it.
        assert len(started) >= 3
        assert {os.sched_getscheduler(number) for number in started} == {os.SCHED_BATCH}
        assert os.sched_getscheduler(0) == os.SCHED_OTHER
