"""A broker that is away for half a minute, stopped or killed in the middle of a run: clause D-BROKER-1."""

from __future__ import annotations

import time
from contextlib import closing

import pytest
from confluent_kafka import Consumer, KafkaException, TopicPartition
from topic_worlds import PATIENCE_S, World, inputs_in, members
from worlds import tiny_world

pytestmark = [pytest.mark.recovery, pytest.mark.broker, pytest.mark.slow, pytest.mark.soak]

AWAY_S = 30.0
AGAIN_S_MAX = 5.0
LINES = 6000


def message_count(consumer: Consumer, topic: str) -> int:
    """How many messages a topic has."""
    partitions = consumer.list_topics(topic, timeout=PATIENCE_S).topics[topic].partitions
    until = time.monotonic() + PATIENCE_S
    while True:  # a broker that has just come back leads nothing at first
        try:
            ends = [
                consumer.get_watermark_offsets(TopicPartition(topic, each), timeout=5) for each in partitions
            ]
            break
        except KafkaException:
            assert time.monotonic() < until, "the broker doesn't lead its partitions"
            time.sleep(0.1)
    return sum(high - low for low, high in ends)


def seconds_until_more(world: World, before: int) -> float:
    """How long it takes until a topic of decisions has more messages."""
    began = time.monotonic()
    with closing(Consumer({"bootstrap.servers": world.brokers, "group.id": "watching"})) as consumer:
        while message_count(consumer, world.to) <= before:
            assert time.monotonic() < began + PATIENCE_S, "no decisions come"
            time.sleep(0.05)
    return time.monotonic() - began


@pytest.mark.parametrize("kill", [False, True], ids=["stopped", "killed"])
@pytest.mark.parametrize("processes", ["1", "2"])
def test_the_broker_is_away_for_half_a_minute(own_broker, tmp_path, kill, processes):
    """D-BROKER-1."""
    lines = tiny_world(LINES)
    with closing(World(own_broker, tmp_path)) as world:
        world.send(lines[: LINES // 2])
        running = world.start("--processes", processes)
        running.wait_for(lambda: inputs_in(world.state) >= LINES // 20, "inputs")
        own_broker.stop(kill=kill)
        before, pids = inputs_in(world.state), members(world)
        time.sleep(AWAY_S)
        assert running.process.poll() is None, running.said.read_text()
        own_broker.start()
        with closing(Consumer({"bootstrap.servers": world.brokers, "group.id": "watching"})) as consumer:
            sent = message_count(consumer, world.to)
        world.send(lines[LINES // 2 :])
        waited_s = seconds_until_more(world, sent)
        print(f"{before} inputs journalled when it went; decisions again after {waited_s:.2f} s")  # noqa: T201
        assert waited_s < AGAIN_S_MAX
        running.wait_for(lambda: inputs_in(world.state) >= len(lines), "all inputs")
        assert members(world) == pids, "a process was started again"
        assert running.stop() == 0, running.said.read_text()
        world.check()
