"""A message that makes the program itself fail is named, on topics too, and there is a way past it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
from faulty import customized
from topic_worlds import PATIENCE_S, World, inputs_in, journalled
from worlds import payment, tiny_world

from headrace.journal.reader import JournalReader
from headrace.journal.records import SKIPPED, Kind
from headrace.journal.segments import first_boundary

pytestmark = [pytest.mark.recovery, pytest.mark.broker, pytest.mark.slow]

BAD = "bad-one"
AT = 150


@pytest.fixture
def bad_world(broker, tmp_path) -> Iterator[World]:
    world = World(broker, tmp_path, partitions=1, shards=2)
    lines = [line for line in tiny_world(900) if b'"payment"' in line and b'"customer_id"' in line][:300]
    lines.insert(AT, payment(7, event_id=BAD, event_time=orjson.loads(lines[AT - 1])["event_time"]))
    world.send(lines)
    yield world
    world.close()


def skipped(state: Path) -> list[bytes]:
    return [
        record.input
        for folder in sorted(state.glob("shard-*"))
        for frame in JournalReader(folder, first_boundary(folder), cut_torn_tail=False).frames()
        for record in frame.records
        if record.flags & SKIPPED
    ]


@pytest.mark.parametrize(("how", "processes"), [("raise", 1), ("segfault", 2)])
def test_it_is_named_and_passed_over(bad_world, tmp_path, monkeypatch, how, processes):
    """D-INPUT-2, D-INPUT-3."""
    world, place = bad_world, f"kafka:{bad_world.source}/0:{AT}"
    options = ("--processes", str(processes))
    monkeypatch.setenv("PYTHONPATH", customized(tmp_path / "faults", BAD, how))
    running = world.start(*options)
    assert running.process.wait(PATIENCE_S) == 17, running.said.read_text()
    said = running.said.read_text()
    assert f"{place}: " in said
    assert f"--skip {place} " in said
    if how == "raise":
        assert "made the program fail: ZeroDivisionError: a fault of ours" in said
    else:
        assert "the last two runs died at it" in said

    world.run(301, *options, "--skip", place.removeprefix("kafka:"), "--skip", f"{world.source}/0:9999")
    said = world.started[-1].said.read_text()
    assert f"--skip {world.source}/0:9999: no such input came" in said
    assert f"--skip {world.source}/0:{AT}: no such" not in said
    assert inputs_in(world.state) == 301
    assert [orjson.loads(line)["event_id"] for line in skipped(world.state)] == [BAD]
    letters = [orjson.loads(line) for line in journalled(world.state, Kind.DEAD)]
    assert [each["offset"] for each in letters if each["reason"] == "skipped"] == [AT]
    world.check()
    # It stays passed over.
    last_ms = orjson.loads(skipped(world.state)[0])["event_time"]
    world.send([payment(8, event_id="one-more", event_time=last_ms)])
    world.run(302, *options)
    world.check()
