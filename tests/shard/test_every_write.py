"""A run killed before any of its writes, or in the middle of one, and taken up again writes the same bytes.

Counted are all calls that change a file or a folder: in the run itself, and in the child that writes a
checkpoint, there once with the run left alive and once with it killed at the same moment.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from killing import chosen, killing, logged, one_in
from worlds import World, overrides, stream, write_lines

pytestmark = pytest.mark.recovery

# An fsync changes nothing that a killed process leaves behind, so that it is no moment of its own.
OPTIONS = overrides(input__batch_lines_max=16, journal__checkpoint_inputs_max=30)


# A test of every run takes one moment in four, other ones each time; the long tests take all.


@pytest.fixture(scope="module")
def events(tmp_path_factory) -> Path:
    return write_lines(tmp_path_factory.mktemp("world") / "events.jsonl", stream(42))


@pytest.mark.slow
@pytest.mark.parametrize("shards", [1, 2])
@one_in
def test_killed_at_every_write_it_writes_the_same_bytes(tmp_path, events, shards, one_in):
    options = OPTIONS + overrides(flow__shards=shards)
    whole = World(tmp_path / "whole", (events,), options)
    every = logged(whole)
    assert len({moment.child for moment in every}) > 2, "too few checkpoints"
    assert whole.outputs()[0].count(b"\n") == 42
    world = World(tmp_path / "killed", (events,), options)
    # Two shards write as one does: there every fourth moment is enough.
    for moment in chosen(every, one_in if shards == 1 else 4 * one_in):
        world.clear()
        code = world.run(killing(moment))
        assert code == (-9 if moment.both or not moment.child else 0), (moment, world.said)
        assert world.run() == 0, (moment, world.said)
        assert world.outputs() == whole.outputs(), moment


@pytest.mark.slow
def test_killed_again_at_every_write_of_the_recovery_it_writes_the_same_bytes(tmp_path, events):
    whole = World(tmp_path / "whole", (events,), OPTIONS)
    every = logged(whole)
    # Past the middle of the run, within a frame of the journal or among the lines of the decisions.
    torn = [moment for moment in every if moment.torn and not moment.child]
    once, world = World(tmp_path / "once", (events,), OPTIONS), World(tmp_path / "twice", (events,), OPTIONS)
    assert once.run(killing(torn[len(torn) * 2 // 3])) == -9
    shutil.copytree(once.folder, tmp_path / "logged")
    for moment in logged(World(tmp_path / "logged", (events,), OPTIONS)):
        shutil.rmtree(world.folder, ignore_errors=True)
        shutil.copytree(once.folder, world.folder)
        world.run(killing(moment))
        assert world.run() == 0, (moment, world.said)
        assert world.outputs() == whole.outputs(), moment
