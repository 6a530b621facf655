"""States and topics that don't belong together are refused on a real broker, and the ways out lead out."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest
from commands import started_anew
from topic_worlds import PATIENCE_S, World, inputs_in, messages
from worlds import tiny_world

pytestmark = [pytest.mark.recovery, pytest.mark.broker, pytest.mark.slow]


@pytest.fixture(scope="module")
def lines() -> list[bytes]:
    """Without duplicates: a state that is new doesn't know what came before it."""
    ids = set[bytes]()
    world = tiny_world(400)
    return [
        line
        for line in world
        if (known := re.search(rb'"event_id":"[^"]*"', line)) and not _in(ids, known[0])
    ]


def _in(seen: set[bytes], known: bytes) -> bool:
    there = known in seen
    seen.add(known)
    return there


def refused(world: World, *options: str) -> str:
    """What a start says that is refused; nothing is journalled or sent by it."""
    before = messages(world.brokers, world.to), inputs_in(world.state)
    running = world.start(*options)
    assert running.process.wait(PATIENCE_S) == 7, running.said.read_text()
    assert (messages(world.brokers, world.to), inputs_in(world.state)) == before
    return running.said.read_text()


def counted(world: World) -> Counter[str | None]:
    return Counter(each.id for each in messages(world.brokers, world.to))


def test_a_new_state_on_topics_that_were_decided_before(world, lines):
    """D-STATE-3."""
    world.send(lines[:200])
    world.run(200)
    once, first = counted(world), world.state
    inspected = started_anew("state", "inspect", "--state", first).text
    offsets = sum(int(each) for each in re.findall(r"kafka:.*: offset ([0-9,]+) is next", inspected))
    assert offsets == 200 * len(list(first.glob("shard-*")))
    assert set(once.values()) == {1}

    world.state = world.folder / "mistyped"
    said = refused(world)
    assert "--start latest" in said
    assert "--again" in said
    refused(world, "--start", "2024-01-01T00:00:00Z", "--processes", "2")

    running = world.start("--start", "latest")
    running.wait_for(lambda: _noted(world.state), "its first notes")
    world.send(lines[200:250])
    running.wait_for(lambda: inputs_in(world.state) >= 50, "what came since")
    assert running.stop() == 0
    world.send(lines[250:260])
    world.run(60)  # it is known here by now
    after = counted(world)
    assert set(after.values()) == {1}
    assert set(once) < set(after)

    world.state = world.folder / "again"
    world.run(260, "--again")
    assert set(counted(world).values()) == {2}
    world.state = first
    world.run(260)  # what the others have decided meanwhile stands in its output: it isn't sent again
    assert set(counted(world).values()) == {2}


def _noted(state: Path) -> bool:
    """Whether every shard has noted where its partitions begin."""
    from headrace.journal.end import journal_end

    folders = sorted(state.glob("shard-*"))
    ends = [journal_end(folder, number, cut_torn_tail=False) for number, folder in enumerate(folders)]
    return len(ends) == 4 and all(len(end.marks) == 4 for end in ends)


def test_topics_and_states_of_others(world, lines):
    """D-STATE-4."""
    world.send(lines[:60])
    world.run(60)
    fraud, output = world.state, world.to

    world.state, world.flow = world.folder / "lists", "recommend"
    assert "has decisions of the flow fraud" in refused(world)
    world.state = fraud
    assert 'flow.kind: the state has "fraud", the configuration "recommend"' in refused(world)

    world.flow, source = "fraud", world.source
    world.source = world.broker.create_topic(f"{source}-renamed", 4, retention_ms="-1")
    world.send(lines[60:90])
    assert f"the state was written for kafka:{source}" in refused(world)
    world.run(90, "--again")
    assert world.to == output
    world.check()
