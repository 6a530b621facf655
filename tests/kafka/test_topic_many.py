"""Topics with many partitions."""

from __future__ import annotations

import os
from contextlib import closing

import pytest
from topic_payments import payment
from topic_worlds import World

from headrace.runtime.child import _Letters
from headrace.runtime.members import Member, instructions
from headrace.shard.positions import Plan

pytestmark = pytest.mark.recovery

PARTITIONS = 100


@pytest.mark.broker
@pytest.mark.slow
def test_a_topic_of_many_partitions_is_read_by_one_process_and_by_two(broker, tmp_path):
    """D-LIMIT-2."""
    with closing(World(broker, tmp_path, partitions=PARTITIONS, shards=2)) as world:
        lines = [payment(number, f"c{number}") for number in range(2000)]
        world.send(lines[:1000])
        world.run(1000)
        world.send(lines[1000:])
        world.run(2000, "--processes", "2")
        world.check()
        running = world.start("--set", f"kafka.partitions_max={PARTITIONS - 1}")
        assert running.process.wait(600) == 2
        assert f"kafka.partitions_max: is {PARTITIONS - 1}; with this run it is {PARTITIONS}" in (
            running.said.read_text()
        )


def test_telling_a_process_that_does_not_read_holds_nobody_up():
    """Instructions are longer than a pipe holds where ids or partitions are many."""
    reading, writing = os.pipe()
    letters = _Letters(os.fdopen(writing, "wb"))
    line = instructions(
        Member(), Plan((), 0, frozenset(f"fraud:payment-{number}" for number in range(20_000))), {}
    )
    assert len(line) > 300_000
    letters.put(line)
    letters.put(b"more\n")
    with os.fdopen(reading, "rb") as stream:
        assert stream.readline() == line
        assert stream.readline() == b"more\n"
        letters.close()
        assert stream.read() == b""


def test_telling_a_process_that_has_ended_is_of_no_harm():
    reading, writing = os.pipe()
    letters = _Letters(os.fdopen(writing, "wb"))
    os.close(reading)
    letters.put(b"x" * 1_000_000)
    letters.close()
