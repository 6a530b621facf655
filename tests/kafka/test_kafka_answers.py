"""Brokers that can't answer for a moment are asked again; those that refuse are not."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaError, KafkaException

from headrace.config.kafka import KafkaSettings
from headrace.errors import BrokerUnreachable, TopicMismatch
from headrace.kafka.connection import Connection


class Asked:
    """Fails as often as it is told to, then answers."""

    def __init__(self, error: int, times: int) -> None:
        self.error, self.left, self.calls = error, times, 0

    def __call__(self, seconds: float) -> str:
        assert seconds > 0
        self.calls += 1
        if self.left:
            self.left -= 1
            raise KafkaException(KafkaError(self.error))
        return "answer"


def connection(seconds_max: float) -> Connection:
    return Connection(KafkaSettings(brokers=("127.0.0.1:9",), metadata_seconds_max=seconds_max), environ={})


@pytest.mark.parametrize("error", [KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE])
def test_a_partition_whose_leader_is_being_chosen_is_asked_for_again(error):
    asked = Asked(error, 2)
    assert connection(60.0).answer(asked) == "answer"
    assert asked.calls == 3


def test_what_does_not_pass_is_raised_at_once():
    asked = Asked(KafkaError.UNKNOWN_TOPIC_OR_PART, 1)
    with pytest.raises(TopicMismatch):
        connection(60.0).answer(asked)
    assert asked.calls == 1


def test_asking_has_a_limit():
    asked = Asked(KafkaError.NOT_LEADER_FOR_PARTITION, 1_000_000)
    with pytest.raises(BrokerUnreachable, match=r"no answer from 127\.0\.0\.1:9"):
        connection(0.3).answer(asked)
    assert asked.calls > 1
