"""A run that is killed at any moment and taken up again writes the same bytes as one that never stopped."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from worlds import World, clicks, overrides, tiny_world, write_lines

from headrace.config.loading import load
from headrace.journal.checkpoint import checkpoint_numbers
from headrace.journal.reader import JournalReader
from headrace.journal.records import Kind
from headrace.journal.segments import first_boundary, start_of
from headrace.shard.durable import DurableShard

pytestmark = pytest.mark.recovery

KILLS = {"fraud": 8, "recommend": 4}
LINES = 3000
KILLS_MAX = 200
CHECKPOINT_INPUTS = 40


# So little room that what is remembered goes round, and each of many starts takes less memory.
SMALL = {
    "engine__items_max": 50,
    "engine__posting_blocks_max": 200,
    "engine__chunks_max": 300,
    "engine__sessions_max": 200,
    "engine__order_lines_max": 50,
    "engine__shown_max": 100,
}


def options(shards: int, flow: str = "fraud") -> tuple[str, ...]:
    return overrides(
        input__batch_lines_max=16,
        journal__checkpoint_inputs_max=CHECKPOINT_INPUTS,
        flow__shards=shards,
        **(SMALL if flow == "recommend" else {}),
    )


@pytest.fixture(scope="module")
def events(tmp_path_factory) -> Path:
    return write_lines(tmp_path_factory.mktemp("world") / "events.jsonl", tiny_world(LINES))


@pytest.fixture(scope="module")
def visits(tmp_path_factory) -> Path:
    return write_lines(tmp_path_factory.mktemp("world") / "clicks.jsonl", clicks(2 * LINES // 3))


@pytest.fixture
def seed() -> int:
    """Printed by pytest when the test fails; `HEADRACE_KILL_SEED` repeats it, as far as moments repeat."""
    seed = int(os.environ.get("HEADRACE_KILL_SEED", time.time_ns() % 1_000_000_000))
    print(f"HEADRACE_KILL_SEED={seed}")  # noqa: T201
    return seed


def records_from(directory: Path, start) -> int:
    """How many inputs the journal holds from a boundary on."""
    frames = JournalReader(directory, start, cut_torn_tail=True).frames()
    return sum(record.kind != Kind.CONTROL for frame in frames for record in frame.records)


def tails_of(world: World, settings) -> tuple[int, int]:
    """Open a copy of the state: inputs applied again, of all that the journals hold."""
    copy = world.folder / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    # A checkpoint's child may not be gone yet, and take its unfinished file away.
    shutil.copytree(world.state, copy, ignore=shutil.ignore_patterns("*.tmp"))
    replayed = inputs = 0
    for number, directory in enumerate(sorted(copy.glob("shard-*"))):
        checkpoints = checkpoint_numbers(directory)
        tail = start_of(directory, checkpoints[0]) if checkpoints else first_boundary(directory)
        expected = records_from(directory, tail)
        shard = DurableShard(directory, settings, shard=number)
        assert shard.replayed == expected
        replayed += shard.replayed
        inputs += records_from(directory, first_boundary(directory))
        shard.close(with_checkpoint=False)
    return replayed, inputs


def seconds_of(world: World) -> float:
    """How long a whole run takes."""
    world.clear()
    begun = time.monotonic()
    assert world.run() == 0, world.said
    return time.monotonic() - begun


@pytest.mark.parametrize("shards", [1, 4])
@pytest.mark.parametrize("flow", ["fraud", "recommend"])
def test_killed_at_random_moments_it_writes_the_same_bytes(tmp_path, events, visits, seed, flow, shards):
    sources = (visits if flow == "recommend" else events,)
    whole = World(tmp_path / "whole", sources, options(shards, flow), flow)
    seconds = min(seconds_of(whole) for _ in range(2))
    assert min(map(len, whole.outputs())) > 1000
    settings = load(None, options(shards, flow)[1::2], flow=flow)
    moments, world = random.Random(seed), World(tmp_path / "killed", sources, options(shards, flow), flow)
    kills = least = finished = 0
    while kills < KILLS[flow] or not least or not finished:
        assert kills < KILLS_MAX, "no kill came after a checkpoint"
        child = world.start()
        if kills < KILLS[flow] or not least:
            time.sleep(moments.uniform(0.0, seconds))
            code = world.kill(child)
        else:
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if code == 0:
            assert world.outputs() == whole.outputs(), f"after {kills} kills"
            finished += 1
            seconds *= 0.8  # the machine may have less to do than when this was measured
            world.clear()
            continue
        assert code == -9, world.said
        kills += 1
        if world.shards():
            replayed, inputs = tails_of(world, settings)
            least += replayed < inputs
        seconds *= 1.0 if least else 1.1  # or more than when this was measured


def test_a_process_killed_from_outside_writes_the_same_bytes(tmp_path, events, seed):
    whole = World(tmp_path / "whole", (events,), options(1))
    assert whole.run() == 0, whole.said
    moments, world = random.Random(seed), World(tmp_path / "killed", (events,), options(1))
    world.folder.mkdir()
    command = [sys.executable, "-m", "headrace", *world.arguments]
    kills = 0
    while kills < 3:
        # Wait until a random part of what is left of the decisions is there.
        enough = int(moments.uniform(kills, kills + 1) / 3 * len(whole.outputs()[0]) * 0.8)
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        while process.poll() is None and not (
            world.decisions.exists() and world.decisions.stat().st_size > enough
        ):
            time.sleep(0.0005)
        process.kill()
        code = process.wait()
        assert code in {0, -9}
        kills += code == -9
        if code == 0:  # it was through before this process looked again
            assert world.outputs() == whole.outputs()
            world.clear()
            kills = 0
    assert world.run() == 0, world.said
    assert world.outputs() == whole.outputs()
