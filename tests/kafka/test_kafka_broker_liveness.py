"""What a client's statistics tell: whether brokers answer, and how many partitions topics have."""

from __future__ import annotations

import json
import logging

import pytest

from headrace.config.kafka import KafkaSettings
from headrace.kafka.broker_liveness import BrokerLiveness
from headrace.kafka.connection import Connection
from headrace.kafka.starts import EARLIEST, LATEST, Partition, at_time, loss, parse_start


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def heard(clock) -> BrokerLiveness:
    connection = Connection(KafkaSettings(brokers=("one:9092",), silent_seconds_max=10.0))
    return BrokerLiveness(connection, clock)


def told(answers: int, **partitions: int) -> str:
    topics = {
        name: {"partitions": {"-1": {"unknown": False}} | {str(n): {"unknown": False} for n in range(count)}}
        for name, count in partitions.items()
    }
    return json.dumps({"brokers": {"one": {"rx": answers, "tx": 1}, "two": {"rx": 1}}, "topics": topics})


def test_silence_ends_with_the_next_answer(heard, clock):
    heard.statistics(told(1))
    clock.now = 5.0
    heard.statistics(told(1))
    assert heard.silent_seconds == 5.0
    heard.statistics(told(2))
    assert heard.silent_seconds == 0.0


def test_silence_is_warned_of_once_each_time(heard, clock, caplog):
    caplog.set_level(logging.INFO)
    for now, answers, silences in ((10.0, 0, 0), (10.1, 0, 1), (30.0, 0, 1), (31.0, 5, 1), (42.0, 5, 2)):
        clock.now = now
        if answers:
            heard.statistics(told(answers))
        heard.check()
        assert heard.silences == silences
    assert [record.getMessage().partition(";")[0] for record in caplog.records] == [
        "nothing heard of the brokers (one:9092) for 10 seconds",
        "the brokers (one:9092) are heard again",
        "nothing heard of the brokers (one:9092) for 11 seconds",
    ]


def test_one_broker_may_be_silent_while_another_answers(heard, clock):
    def told_by(one: int, two: int) -> str:
        return json.dumps({"brokers": {"one": {"nodeid": 1, "rx": one}, "two": {"nodeid": 2, "rx": two}}})

    heard.statistics(told_by(1, 1))
    clock.now = 7.0
    heard.statistics(told_by(2, 1))
    clock.now = 8.0
    assert (heard.silent_seconds, heard.silent_of(1), heard.silent_of(2)) == (1.0, 1.0, 8.0)
    assert heard.silent_of(3) == 1.0  # of one that isn't known, as of any


def test_growth_is_told_once_a_step(heard, caplog):
    heard.counted({"a": 2, "b": 1})
    for counts in ({"a": 2, "b": 1}, {"a": 3, "b": 1}, {"a": 3, "b": 1}, {"a": 5, "b": 1}, {"a": 0}):
        heard.statistics(told(1, **counts))
    assert heard.grown == {"a": (2, 5)}
    assert len(caplog.records) == 2


def test_a_partition_that_is_only_wanted_is_not_counted(heard):
    heard.counted({"a": 1})
    partitions = {"0": {"unknown": False}, "7": {"unknown": True}}
    heard.statistics(json.dumps({"brokers": {}, "topics": {"a": {"partitions": partitions}}}))
    assert heard.grown == {}


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("earliest", EARLIEST),
        ("latest", LATEST),
        ("2026-03-01T09:30:00Z", at_time(1_772_357_400_000)),
        ("2026-03-01T10:30:00.5+01:00", at_time(1_772_357_400_500)),
    ],
)
def test_where_to_begin(text, start):
    assert parse_start(text) == start


@pytest.mark.parametrize("text", ["", "begin", "2026-03-01T09:30:00", "17", "2026-02-30T00:00:00Z"])
def test_what_is_no_place_to_begin(text):
    with pytest.raises(ValueError, match="must be earliest, latest, or a time such as"):
        parse_start(text)


@pytest.mark.parametrize("offset", [3, 5, 8])
def test_what_is_held_and_the_end_can_be_gone_on_from(offset):
    assert loss(Partition("a", 0), offset, (3, 8)) is None


def test_what_is_not_held_comes_with_a_way_on():
    assert "--accept-lost" in str(loss(Partition("a", 0), 2, (3, 8)))
    behind = str(loss(Partition("a", 0), 9, (3, 8)))
    assert "--start" in behind
    assert "--accept-lost" not in behind
