"""A small world with a state."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands import waiting_for_checkpoints
from state_worlds import CHECKPOINTS
from worlds import World, stream, write_lines


@pytest.fixture
def events(tmp_path) -> Path:
    return write_lines(tmp_path / "events.jsonl", stream(42))


@pytest.fixture
def world(tmp_path, events) -> World:
    """A run that has ended."""
    world = World(tmp_path / "world", (events,), CHECKPOINTS)
    assert world.run(waiting_for_checkpoints) == 0, world.said
    return world
