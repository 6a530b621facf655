"""States that read topics, between two runs: changed, shortened, erased from, of topics made anew."""

from __future__ import annotations

import time
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest
from commands import started_anew
from confluent_kafka.admin import AdminClient
from erasures import CUSTOMER, check_gone, customers
from topic_worlds import PATIENCE_S, SHARDS, Running, World, members, messages, wait_until_gone
from worlds import click, stream, tiny_world

from headrace.journal.checkpoint import checkpoint_numbers
from headrace.journal.end import journal_end
from headrace.journal.segments import first_boundary, segment_numbers

pytestmark = [pytest.mark.recovery, pytest.mark.broker, pytest.mark.slow]


@pytest.fixture(scope="module")
def lines() -> list[bytes]:
    return tiny_world(1500)


def said(world: World) -> str:
    """What all runs of a state have said."""
    return world.state.with_suffix(".said").read_text()


# -- another configuration


@pytest.mark.parametrize("processes", ["1", "2"])
def test_a_changed_configuration_is_told_once_and_journalled(world, lines, processes):
    world.send(lines[:200])
    world.run(200, "--processes", processes)
    assert "changed since" not in said(world)
    world.send(lines[200:400])
    world.run(400, "--processes", processes, "--set", "policy.block_at=0.9", "--no-learn")
    told = [line for line in said(world).splitlines() if "changed since" in line]
    assert told == [
        "warning: changed since the last run: policy.block_at: 0.8 → 0.9",
        "warning: changed since the last run: learning (--learn): true → false",
    ]
    world.send(lines[400:500])
    world.run(500, "--processes", processes, "--set", "policy.block_at=0.9", "--no-learn")
    assert said(world).count("changed since") == len(told)
    world.check()


@pytest.mark.parametrize(("flow", "other"), [("fraud", "recommend"), ("recommend", "fraud")])
def test_a_state_of_another_flow_is_refused_and_left_as_it_was(world, lines, flow, other):
    world.flow = flow
    world.send([click(0, 0, 0), *lines[:50]])  # so that each flow has a use for something
    world.run(51)
    written = messages(world.brokers, world.to)
    world.flow = other
    refused = world.start()
    assert refused.process.wait(PATIENCE_S) == 7
    told = said(world).splitlines()[-1]
    assert told.endswith(f'flow.kind: the state has "{flow}", the configuration "{other}"')
    assert messages(world.brokers, world.to) == written
    world.flow = flow
    world.send(lines[50:80])
    world.run(81)
    world.check()


# -- old segments are deleted


KEEP_LITTLE = ("--set", "journal.keep_bytes_max=1024", "--set", "journal.checkpoint_inputs_max=30")


def shards(world: World) -> list[Path]:
    return sorted(world.state.glob("shard-*"))


def first_segments(world: World) -> list[int]:
    return [segment_numbers(shard)[0] for shard in shards(world)]


def check_repair_finds_all(world: World) -> None:
    """What is kept of each journal goes back to all acknowledged offsets of its shard."""
    for shard in shards(world):
        sinks = journal_end(shard, 0, cut_torn_tail=False).sinks
        assert sorted(sinks) == ["dead_letters", "decisions"]
        assert first_boundary(shard).ordinal <= min(note["ordinal"] for note in sinks.values())


def kill_all(world: World, running: Running) -> None:
    """Kill a launcher, and wait until its members have ended too."""
    pids = members(world)
    running.kill()
    wait_until_gone(pids)


def outputs(world: World) -> list[list[bytes]]:
    """Values in each output topic, none of which may come twice."""
    found = [messages(world.brokers, topic) for topic in (world.to, world.dead_letters)]
    for topic in found:
        assert max(Counter(each.id for each in topic).values()) == 1
    return [sorted(each.value for each in topic) for topic in found]


def reaches(world: World, inputs: int):
    """Whether all shards together have come so far; what was deleted counts too."""

    def reached() -> bool:
        ends = [journal_end(shard, 0, cut_torn_tail=False) for shard in shards(world)]
        return sum(end.boundary.ordinal for end in ends) >= inputs

    return reached


@pytest.mark.parametrize("processes", ["1", "2"])
def test_with_old_segments_deleted_kills_lose_and_repeat_nothing(world, lines, processes):
    """D-REPAIR-5."""
    world.send(lines[:1400])
    options = (*KEEP_LITTLE, "--processes", processes)
    for part in (500, 900, 1300):
        running = world.start(*options)
        running.wait_for(reaches(world, part), "inputs")
        kill_all(world, running)
        check_repair_finds_all(world)
    assert min(first_segments(world)) > 1, "nothing was deleted before the last kill"
    world.send(lines[1400:])
    running = world.start(*options)
    running.wait_for(reaches(world, len(lines)), "all inputs")
    assert running.stop() == 0, running.said.read_text()
    check_repair_finds_all(world)
    found = outputs(world)
    world.anew("unbroken")
    world.run(len(lines))
    assert outputs(world) == found


def test_nothing_behind_acknowledged_offsets_is_deleted(world, lines):
    """D-REPAIR-5: while output offsets stand still, so does the journal's beginning; later the old goes."""
    world.send(lines[:1000])
    running = world.start(*KEEP_LITTLE, "--set", "kafka.output_offsets_seconds=3600")
    running.wait_for(reaches(world, 1000), "inputs")
    running.kill()
    assert first_segments(world) == [1] * SHARDS
    assert min(checkpoint_numbers(shard)[0] for shard in shards(world)) > 2, "no checkpoint held it"
    check_repair_finds_all(world)
    world.send(lines[1000:])
    running = world.start(*KEEP_LITTLE)
    running.wait_for(reaches(world, len(lines)), "all inputs")
    assert running.stop() == 0, running.said.read_text()
    assert min(first_segments(world)) > 1
    found = outputs(world)
    world.anew("kept")
    world.run(len(lines))
    assert outputs(world) == found


# -- a customer is erased while the flow is stalled


class Files(NamedTuple):
    """A state, for the checks of erasures."""

    state: Path

    def shards(self) -> list[Path]:
        return sorted(self.state.glob("shard-*"))


def check_done(*arguments: object) -> None:
    ended = started_anew(*arguments)
    assert ended.code == 0, ended.said


def decision_ids(world: World) -> set[str]:
    return {each.id for each in messages(world.brokers, world.to)}


@pytest.mark.parametrize(("count", "killed"), [(2, True), (4, False)])
def test_a_customer_is_erased_at_once_from_a_stopped_state(broker, tmp_path, count, killed):
    """D-CONTROL-2."""
    before, later = customers(200), stream(100, first=300)
    with closing(World(broker, tmp_path, partitions=count, shards=count)) as world:
        world.send(before)
        running = world.start("--set", "kafka.output_offsets_seconds=3600")
        running.wait_for(reaches(world, len(before)), "inputs")
        if killed:
            running.kill()
        else:
            assert running.stop() == 0, running.said.read_text()
        sent = decision_ids(world)
        check_done("erase", "--customer", CUSTOMER, "--state", world.state)
        check_gone(Files(world.state))
        assert not list(world.state.glob("control/*.jsonl"))
        check_done("ledger", "verify", "--state", world.state)
        assert decision_ids(world) == sent
        world.send(later)
        running = world.start()
        running.wait_for(reaches(world, len(before) + len(later) + count), "inputs behind the erasure")
        assert running.stop() == 0, running.said.read_text()
        check_gone(Files(world.state))
        outputs(world)
        found = decision_ids(world)
        world.anew("whole")
        world.run(len(before) + len(later))
        whole = decision_ids(world)
        theirs = {each for each in whole if "GONE" in each}
        assert theirs
        assert found <= whole
        assert whole - found <= (theirs if killed else set())


# -- a topic that is another one now


def deleted(world: World) -> None:
    admin = AdminClient({"bootstrap.servers": world.brokers})
    admin.delete_topics([world.source])[world.source].result(PATIENCE_S)
    until = time.monotonic() + PATIENCE_S
    while world.source in admin.list_topics(timeout=PATIENCE_S).topics:
        assert time.monotonic() < until
        time.sleep(0.05)


def bytes_of(state: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in sorted(state.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("options", [(), KEEP_LITTLE])
def test_a_topic_that_was_made_anew_is_refused_with_the_choices(world, lines, options):
    """D-LOST-2."""
    world.send(lines[:300])
    world.run(300)
    world.send(lines[300:600])  # a second run, so that the id comes from a checkpoint as well
    running = world.start(*options)
    running.wait_for(reaches(world, 600), "inputs")
    assert running.stop() == 0, running.said.read_text()
    before = bytes_of(world.state)
    deleted(world)
    gone_now = world.start(*options, "--create-topics")
    assert gone_now.process.wait(PATIENCE_S) == 12
    assert "the state knows this topic, but the brokers don't" in said(world)
    world.broker.create_topic(world.source, SHARDS, retention_ms="-1")
    world.send(lines)  # so many that the state's offsets are there again
    refused = world.start(*options, "--accept-lost")
    assert refused.process.wait(PATIENCE_S) == 12
    told = " ".join(said(world).split())
    assert f"{world.source}: was deleted and made anew" in told
    assert "point kafka.brokers to the right cluster, or begin with a new --state, where --start" in told
    assert bytes_of(world.state) == before


def test_a_state_reads_nothing_that_it_wrote_and_writes_nothing_that_it_read(world, lines):
    world.send(lines[:100])
    world.run(100)
    before = bytes_of(world.state)
    world.source, world.to = world.to, world.source
    swapped = world.start()
    assert swapped.process.wait(PATIENCE_S) == 2
    assert f"--from: kafka:{world.source}: the state has written its decisions there" in said(world)
    assert f"--to: kafka:{world.to}: the state has read this topic" in said(world)
    assert bytes_of(world.state) == before
