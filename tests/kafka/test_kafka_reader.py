"""Reading partitions of a real broker: where it begins, what it hands out, and what it says when it can't."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions
from topics import fill

from headrace.config.kafka import KafkaSettings
from headrace.errors import BrokerUnreachable, OffsetLost, TopicMismatch
from headrace.kafka.connection import Connection
from headrace.kafka.fetched import Lost
from headrace.kafka.reader import PartitionReader
from headrace.kafka.starts import EARLIEST, LATEST, Partition, at_offset, at_time

pytestmark = [pytest.mark.integration, pytest.mark.broker]

PATIENCE_S = 600


@contextmanager
def reading(brokers: str, starts, **more) -> Iterator[PartitionReader]:
    settings = {key: more.pop(key) for key in tuple(more) if key in KafkaSettings.model_fields}
    reader = PartitionReader(Connection(KafkaSettings(brokers=(brokers,), **settings)), starts, **more)
    try:
        yield reader
    finally:
        reader.close()


def taken(reader: PartitionReader, count: int) -> dict[Partition, list[tuple[int, bytes]]]:
    """Read until so many messages have come: offsets and payloads of each partition."""
    found: dict[Partition, list[tuple[int, bytes]]] = {each: [] for each in reader.partitions}
    until(reader, lambda: sum(map(len, found.values())) >= count, found)
    return found


def until(reader: PartitionReader, reached: Callable[[], object], found=None) -> None:
    """Read on until something is so."""
    deadline = time.monotonic() + PATIENCE_S
    while not reached():
        assert time.monotonic() < deadline, "this never came about"
        for fetched in reader.read(1000):
            if found is not None:
                found[fetched.partition] += zip(fetched.offsets, fetched.payloads, strict=True)


def payloads(numbers) -> list[bytes]:
    return [b"%d" % number for number in numbers]


@pytest.fixture
def topic(broker, request) -> str:
    """A topic of the test's own with two partitions; the first holds ten messages, the second five."""
    name = broker.create_topic(f"{request.node.originalname}-{time.time_ns()}", 2, retention_ms="-1")
    fill(broker.brokers, name, 0, payloads(range(10)), times_ms=[1000 * number for number in range(1, 11)])
    fill(broker.brokers, name, 1, payloads(range(5)), times_ms=[1000] * 5)
    return name


def delete_before(broker, topic: str, partition: int, offset: int) -> None:
    admin = AdminClient({"bootstrap.servers": broker.brokers})
    for future in admin.delete_records([TopicPartition(topic, partition, offset)]).values():
        future.result(600)


def test_all_messages_come_in_the_order_of_their_partition(broker, topic):
    first, second = Partition(topic, 0), Partition(topic, 1)
    with reading(broker.brokers, {first: EARLIEST, second: EARLIEST}) as reader:
        found = taken(reader, 15)
        assert found[first] == list(enumerate(payloads(range(10))))
        assert found[second] == list(enumerate(payloads(range(5))))
        assert [reader.position(each) for each in (first, second)] == [10, 5]


def test_only_the_assigned_partitions_are_read(broker, topic):
    with reading(broker.brokers, {Partition(topic, 1): EARLIEST}) as reader:
        found = taken(reader, 5)
        until(reader, lambda: reader.caught_up(Partition(topic, 1)))
        assert list(found) == [Partition(topic, 1)]


@pytest.mark.parametrize(
    ("start", "expected"),
    [(EARLIEST, 0), (at_offset(7), 7), (at_time(4000), 3), (at_time(4001), 4), (at_time(10**15), 10)],
)
def test_reading_begins_where_it_is_told(broker, topic, start, expected):
    where = Partition(topic, 0)
    with reading(broker.brokers, {where: start}) as reader:
        assert reader.position(where) == expected
        fill(broker.brokers, topic, 0, [b"last"])
        found = taken(reader, 11 - expected)
        assert found[where] == list(enumerate([*payloads(range(10)), b"last"]))[expected:]


def test_from_latest_only_what_is_new_is_read(broker, topic):
    where = Partition(topic, 0)
    with reading(broker.brokers, {where: LATEST}) as reader:
        assert reader.position(where) == 10
        fill(broker.brokers, topic, 0, [b"new"])
        assert taken(reader, 1)[where] == [(10, b"new")]


def test_a_message_without_a_value_is_empty(broker, topic):
    fill(broker.brokers, topic, 0, [None])
    with reading(broker.brokers, {Partition(topic, 0): at_offset(10)}) as reader:
        assert taken(reader, 1)[Partition(topic, 0)] == [(10, b"")]


def test_no_more_is_handed_out_at_once_than_asked_for(broker, topic):
    where = Partition(topic, 0)
    fill(broker.brokers, topic, 0, payloads(range(100)))
    with reading(broker.brokers, {where: EARLIEST}) as reader:
        sizes = []
        while sum(sizes) < 110:
            sizes += [len(fetched.payloads) for fetched in reader.read(8)]
    assert max(sizes) <= 8


def test_lag_and_being_caught_up(broker, topic):
    where = Partition(topic, 0)
    with reading(broker.brokers, {where: EARLIEST}, clock=lambda: 22.0) as reader:
        assert reader.lag(where).seconds is None
        found = {where: []}
        while not found[where]:
            for fetched in reader.read(4):
                found[where] += fetched.offsets
        behind = 10 - len(found[where])
        assert not reader.caught_up(where)
        assert reader.high_watermark(where) == 10
        assert reader.lag(where) == (behind, 22.0 - len(found[where]))
        until(reader, lambda: reader.caught_up(where))
        assert reader.lag(where) == (0, 0.0)


def test_an_empty_partition_is_caught_up(broker, topic):
    where = Partition(broker.create_topic(f"{topic}-empty"), 0)
    with reading(broker.brokers, {where: EARLIEST}) as reader:
        until(reader, lambda: reader.caught_up(where))
        assert reader.lag(where) == (0, 0.0)


@pytest.mark.parametrize("commit", [True, False])
def test_markers_of_transactions_are_passed_over(broker, topic, commit):
    where = Partition(topic, 1)
    sender = Producer({"bootstrap.servers": broker.brokers, "transactional.id": topic, "log_level": 0})
    sender.init_transactions(PATIENCE_S)
    sender.begin_transaction()
    sender.produce(topic, b"within", partition=1)
    sender.flush(PATIENCE_S)
    (sender.commit_transaction if commit else sender.abort_transaction)(PATIENCE_S)
    with reading(broker.brokers, {where: at_offset(5)}) as reader:
        found = {where: []}
        until(reader, lambda: reader.caught_up(where) and reader.position(where) == 7, found)
    assert found[where] == ([(5, b"within")] if commit else [])


def test_a_paused_partition_waits_and_goes_on_without_a_gap(broker, topic):
    first, second = Partition(topic, 0), Partition(topic, 1)
    with reading(broker.brokers, {first: EARLIEST, second: EARLIEST}) as reader:
        reader.pause([first])
        found = {first: [], second: []}
        until(reader, lambda: len(found[second]) == 5, found)
        before = len(found[first])
        fill(broker.brokers, topic, 1, [b"more"])
        until(reader, lambda: len(found[second]) == 6, found)
        assert len(found[first]) == before < 10
        reader.resume([first])
        until(reader, lambda: len(found[first]) == 10, found)
        assert found[first] == list(enumerate(payloads(range(10))))


def test_what_was_deleted_before_it_was_read_is_refused_with_a_way_on(broker, topic):
    delete_before(broker, topic, 0, 6)
    delete_before(broker, topic, 1, 3)
    starts = {Partition(topic, 0): at_offset(2), Partition(topic, 1): at_offset(2)}
    with pytest.raises(OffsetLost) as raised, reading(broker.brokers, starts):
        pass
    said = "what was before is deleted and was never read"
    choice = "--accept-lost goes on without it"
    read = "is to be read next, but the topic holds"
    assert raised.value.losses == (
        f"{topic}[0]: offset 2 {read} 6 to 10; {said} (4 messages). {choice}",
        f"{topic}[1]: offset 2 {read} 3 to 5; {said} (1 messages). {choice}",
    )


def test_what_was_deleted_is_passed_over_when_that_is_accepted(broker, topic):
    delete_before(broker, topic, 0, 6)
    where = Partition(topic, 0)
    with reading(broker.brokers, {where: at_offset(2)}, accept_lost=True) as reader:
        assert reader.lost == (Lost(where, 2, 6),)
        assert taken(reader, 4)[where][0] == (6, b"6")


def test_an_offset_behind_the_end_is_refused_whatever_is_accepted(broker, topic):
    with (
        pytest.raises(OffsetLost, match=r"offset 11 is to be read next, .* holds 0 to 10: it was made anew"),
        reading(broker.brokers, {Partition(topic, 0): at_offset(11)}, accept_lost=True),
    ):
        pass


def test_what_is_deleted_while_reading_is_refused_too(broker, topic):
    where = Partition(topic, 0)
    with reading(broker.brokers, {where: at_offset(2)}) as reader:
        reader.pause([where])
        delete_before(broker, topic, 0, 8)
        reader.resume([where])
        with pytest.raises(OffsetLost, match=rf"{topic}\[0\]: offset 2 .* holds 8 to 10; .* \(6 messages\)"):
            until(reader, lambda: False)
        with pytest.raises(OffsetLost):
            reader.read(10)


def test_partitions_that_do_not_exist_are_named_together(broker, topic):
    starts = {Partition(topic, 2): EARLIEST, Partition("nowhere", 0): EARLIEST}
    with pytest.raises(TopicMismatch) as raised, reading(broker.brokers, starts):
        pass
    assert raised.value.differences == (
        f"{topic}[2]: the topic has 2 partitions",
        "nowhere: there is no such topic",
    )


def test_a_topic_that_is_deleted_ends_reading(broker, topic):
    limits = {"metadata_seconds": 0.5, "metadata_seconds_max": 5.0}
    with reading(broker.brokers, {Partition(topic, 0): EARLIEST}, **limits) as reader:
        taken(reader, 10)
        admin = AdminClient({"bootstrap.servers": broker.brokers})
        admin.delete_topics([topic])[topic].result(600)
        with pytest.raises(TopicMismatch, match=topic):
            until(reader, lambda: False)


def test_added_partitions_are_noticed(broker, topic, caplog):
    with reading(broker.brokers, {Partition(topic, 0): EARLIEST}, metadata_seconds=0.5) as reader:
        taken(reader, 10)
        assert reader.liveness.grown == {}
        admin = AdminClient({"bootstrap.servers": broker.brokers})
        admin.create_partitions([NewPartitions(topic, 3)])[topic].result(600)
        until(reader, lambda: reader.liveness.grown)
        assert reader.liveness.grown == {topic: (2, 3)}
    assert f"topic {topic} has grown from 2 to 3 partitions" in caplog.text


def test_positions_are_committed_for_the_group_and_never_read(broker, topic):
    where = Partition(topic, 0)
    admin = AdminClient({"bootstrap.servers": broker.brokers})
    group = f"group-of-{topic}"
    with reading(broker.brokers, {where: EARLIEST}, group_id=group, commit_seconds=0.1) as reader:
        taken(reader, 10)
        reader.commit({where: 7})
        until(reader, lambda: _committed(admin, group) == {(topic, 0): 7})
    with reading(broker.brokers, {where: EARLIEST}, group_id=group) as reader:
        assert len(taken(reader, 10)[where]) == 10


def _committed(admin: AdminClient, group: str) -> dict[tuple[str, int], int]:
    from confluent_kafka import ConsumerGroupTopicPartitions

    asked = [ConsumerGroupTopicPartitions(group)]
    try:
        answered = admin.list_consumer_group_offsets(asked)[group].result(600)
    except Exception:  # noqa: BLE001  # no such group yet
        return {}
    return {(each.topic, each.partition): each.offset for each in answered.topic_partitions}


def test_without_a_group_nothing_is_committed(broker, topic):
    where = Partition(topic, 0)
    with reading(broker.brokers, {where: EARLIEST}, client_id=f"id-of-{topic}") as reader:
        reader.commit({where: 5})
        until(reader, lambda: reader.caught_up(where))
    assert _committed(AdminClient({"bootstrap.servers": broker.brokers}), f"id-of-{topic}") == {}


def test_reading_goes_on_after_the_broker_was_away(own_broker, caplog):
    where = Partition(own_broker.create_topic("away"), 0)
    fill(own_broker.brokers, "away", 0, [b"before"])
    with reading(own_broker.brokers, {where: EARLIEST}, silent_seconds_max=1.0) as reader:
        assert taken(reader, 1)[where] == [(0, b"before")]
        own_broker.stop()
        until(reader, lambda: reader.liveness.silences)
        assert reader.liveness.silent_seconds > 1.0
        own_broker.start()
        fill(own_broker.brokers, "away", 0, [b"after"])
        assert taken(reader, 1)[where] == [(1, b"after")]
        until(reader, lambda: reader.liveness.silent_seconds < 1.0)
    # Once for each silence; a busy machine may add some.
    assert caplog.text.count("nothing heard of the brokers") == reader.liveness.silences
    assert "Connection refused" in caplog.text
    assert caplog.text.count("are heard again") == reader.liveness.silences


def test_a_broker_that_hangs_is_noticed(own_broker, caplog):
    where = Partition(own_broker.create_topic("hangs"), 0)
    with reading(own_broker.brokers, {where: EARLIEST}, silent_seconds_max=1.5) as reader:
        until(reader, lambda: reader.caught_up(where))
        with own_broker.silent():
            until(reader, lambda: reader.liveness.silences)
        until(reader, lambda: reader.liveness.silent_seconds < 1.0)
    assert reader.liveness.silences >= 1
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 2 * reader.liveness.silences


def test_no_broker_is_an_error_that_names_the_brokers():
    began = time.monotonic()
    with (
        pytest.raises(BrokerUnreachable, match=r"no answer from 127\.0\.0\.1:1: .*Connection refused"),
        reading("127.0.0.1:1", {Partition("any", 0): EARLIEST}, metadata_seconds_max=1.0),
    ):
        pass
    assert time.monotonic() - began >= 1.0


def test_a_broker_that_does_not_answer_at_the_start_is_an_error(own_broker):
    where = Partition(own_broker.create_topic("mute"), 0)
    with (
        own_broker.silent(),
        pytest.raises(BrokerUnreachable, match=own_broker.brokers),
        reading(own_broker.brokers, {where: EARLIEST}, metadata_seconds_max=1.0),
    ):
        pass
