"""What tests of states do with a world."""

from __future__ import annotations

from pathlib import Path

import orjson
from killing import BATCHES
from worlds import World, all_of, overrides

from headrace.journal.checkpoint import checkpoint_numbers, checkpoint_path
from headrace.journal.reader import JournalReader
from headrace.journal.records import Kind
from headrace.journal.segments import first_boundary

CHECKPOINTS = BATCHES + overrides(journal__checkpoint_inputs_max=30)


def again(world: World, *options: str, sources: tuple[Path, ...] | None = None) -> World:
    """The same state and outputs, with other sources or further options."""
    return World(world.folder, sources or world.sources, world.options + options)


def contents(world: World) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in [*all_of(world), world.decisions, world.dead_letters]}


def decided(world: World) -> list[str]:
    return [orjson.loads(line)["event_id"] for line in world.decisions.read_bytes().splitlines()]


def without_checkpoints(world: World) -> World:
    """As if the run had been killed before its first checkpoint was complete."""
    for shard in world.shards():
        for number in checkpoint_numbers(shard):
            checkpoint_path(shard, number).unlink()
    return world


def controls(world: World) -> list[dict[str, object]]:
    (shard,) = world.shards()
    frames = JournalReader(shard, first_boundary(shard), cut_torn_tail=False).frames()
    records = [record for frame in frames for record in frame.records]
    return [orjson.loads(record.input) for record in records if record.kind == Kind.CONTROL]
