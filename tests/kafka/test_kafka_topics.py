"""Topics of a real broker are looked at before a flow starts, and created only when that is asked for."""

from __future__ import annotations

import time

import pytest
from confluent_kafka.admin import AdminClient, ConfigResource

from headrace.config.kafka import KafkaSettings
from headrace.errors import TopicMismatch
from headrace.kafka.connection import Connection
from headrace.kafka.topics import Needed, check_topics

pytestmark = [pytest.mark.integration, pytest.mark.broker]

DAY_MS = 86_400_000


@pytest.fixture
def name(request) -> str:
    return f"{request.node.originalname}-{time.time_ns()}"


def check(broker, needed, *, days=10.0, create=False, **settings):
    connection = Connection(KafkaSettings(brokers=(broker.brokers,), **settings))
    return check_topics(connection, needed, memory_days_max=days, create=create)


def test_topics_as_they_are_needed(broker, name):
    broker.create_topic(f"{name}-in", 3, retention_ms="-1")
    broker.create_topic(f"{name}-out", 2, retention_ms=str(10 * DAY_MS))
    needed = [Needed(f"{name}-in", partitions=3), Needed(f"{name}-out", written=True)]
    checked = check(broker, needed)
    assert checked.partitions == {f"{name}-in": 3, f"{name}-out": 2}
    assert (checked.created, checked.warnings) == ((), ())
    known = [each._replace(topic_id=checked.topic_ids[each.topic]) for each in needed]
    assert check(broker, known) == checked


def test_a_topic_that_was_made_anew_is_told_by_its_id(broker, name):
    broker.create_topic(name, retention_ms="-1")
    before = check(broker, [Needed(name)]).topic_ids[name]
    admin = AdminClient({"bootstrap.servers": broker.brokers})
    admin.delete_topics([name])[name].result(600)
    broker.create_topic(name, retention_ms="-1")
    with pytest.raises(TopicMismatch, match=f"{name}: was deleted and made anew since the state knew it"):
        check(broker, [Needed(name, topic_id=before, partitions=1)])
    assert check(broker, [Needed(name)]).topic_ids[name] != before


def test_everything_that_is_wrong_is_told_at_once(broker, name):
    broker.create_topic(f"{name}-grown", 3, retention_ms="-1")
    broker.create_topic(f"{name}-few", 1, retention_ms="-1")
    broker.create_topic(f"{name}-short", 1, retention_ms=str(2 * DAY_MS))
    broker.create_topic(f"{name}-compact", 1, cleanup_policy="compact")
    needed = [
        Needed(f"{name}-gone"),
        Needed(f"{name}-grown", partitions=2),
        Needed(f"{name}-few", partitions_min=4),
        Needed(f"{name}-short", written=True),
        Needed(f"{name}-compact", written=True),
    ]
    with pytest.raises(TopicMismatch) as raised:
        check(broker, needed)
    raise_to = "raise its retention.ms to 864000000, or lower ids.memory_days_max"
    assert raised.value.differences == (
        f"{name}-gone: there is no such topic; --create-topics creates it",
        f"{name}-grown: has 3 partitions, but the state knows 2",
        f"{name}-few: has 1 partitions; at least 4 are needed",
        f"{name}-short: keeps messages for 2 days, but ids are remembered for 10 days: {raise_to}",
        f"{name}-compact: cleanup.policy is compact, which drops all but the last message of a key",
    )


def test_what_is_read_may_be_kept_for_less_with_a_warning(broker, name):
    broker.create_topic(name, 1, retention_ms=str(2 * DAY_MS))
    warning = f"{name}: keeps messages for 2 days; a flow that is stalled for longer loses events"
    assert check(broker, [Needed(name)]).warnings == (warning,)
    assert check(broker, [Needed(name)], days=2.0).warnings == ()


def test_missing_topics_are_created_when_asked_for(broker, name):
    there = broker.create_topic(f"{name}-there", 2, retention_ms="-1")
    needed = [Needed(there), Needed(f"{name}-a", written=True), Needed(f"{name}-b", partitions_min=4)]
    checked = check(broker, needed, create=True, create_partitions=3, days=20.0)
    assert checked.created == (f"{name}-a", f"{name}-b")
    assert checked.partitions == {there: 2, f"{name}-a": 3, f"{name}-b": 4}
    assert check(broker, needed, days=20.0) == checked._replace(created=())
    assert config_of(broker, f"{name}-a")["retention.ms"].value == str(21 * DAY_MS)


def test_nothing_is_created_when_something_else_is_wrong(broker, name):
    broker.create_topic(f"{name}-few", 1, retention_ms="-1")
    needed = [Needed(f"{name}-few", partitions_min=2), Needed(f"{name}-new")]
    with pytest.raises(TopicMismatch, match="at least 2 are needed"):
        check(broker, needed, create=True)
    with pytest.raises(TopicMismatch, match=f"{name}-new: there is no such topic"):
        check(broker, [Needed(f"{name}-new")])


def test_a_topic_that_the_state_knows_is_not_created_again(broker, name):
    with pytest.raises(TopicMismatch, match=f"{name}: the state knows this topic, but the brokers don't"):
        check(broker, [Needed(name, topic_id="known")], create=True)


def test_a_topic_that_cannot_be_created(broker, name):
    with pytest.raises(TopicMismatch, match=f"{name}: can't be created: .*eplication"):
        check(broker, [Needed(name)], create=True, create_replicas=3)


def config_of(broker, topic):
    admin = AdminClient({"bootstrap.servers": broker.brokers})
    ((_, future),) = admin.describe_configs([ConfigResource(ConfigResource.Type.TOPIC, topic)]).items()
    return future.result(600)
