"""However often a process is killed, a start has only so much to apply again: CP-9 of specs/journal.md."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from pathlib import Path

import pytest
from commands import ended, fork
from topic_worlds import Running, World, inputs_in, members, wait_until_gone
from worlds import START_MS, stream, tiny_world

from headrace.config.loading import load
from headrace.journal.batches import Batch, Mark
from headrace.journal.checkpoint import checkpoint_numbers, checkpoint_path
from headrace.operators.events.decode import decode
from headrace.shard.durable import DurableShard

pytestmark = pytest.mark.recovery

KILLS = 10
LIFE_INPUTS = 40
LIFE_S = 20.0
BOUND = 100


def live_and_be_killed(folder: Path, lines: list[bytes], *options: str) -> int:
    """Take a shard up, apply some inputs, and be killed with no checkpoint under way; gives the replayed."""
    note = folder / "replayed.json"

    def life() -> int:
        shard = DurableShard(folder / "shard-00", load(None, options))
        note.write_text(json.dumps(shard.replayed))
        for line in lines:
            batch = Batch(START_MS, 0, shard.position, [line], [0], [0], [0], (Mark(0, 1, 0, 0),))
            shard.process(batch, decode([line]), None)
        shard.wait_for_checkpoint()
        os.kill(os.getpid(), signal.SIGKILL)
        return 1

    assert ended(fork(life)) == -signal.SIGKILL
    return int(json.loads(note.read_text()))


def replayed_over_kills(folder: Path, *options: str) -> list[int]:
    lines = stream(KILLS * LIFE_INPUTS)
    parts = [lines[at : at + LIFE_INPUTS] for at in range(0, KILLS * LIFE_INPUTS, LIFE_INPUTS)]
    return [live_and_be_killed(folder, part, *options) for part in parts]


def test_a_long_recovery_is_followed_by_a_checkpoint_at_once(tmp_path):
    """CP-9: never more than the bound and one life's inputs, though no life reaches a checkpoint."""
    found = replayed_over_kills(tmp_path, f"journal.recovery_inputs_max={BOUND}")
    assert max(found) < BOUND + LIFE_INPUTS
    assert found[3] >= BOUND  # what the fourth start had to do; the fifth found its checkpoint
    assert found[4] == LIFE_INPUTS


def test_inputs_that_are_applied_again_count_towards_the_next_checkpoint(tmp_path):
    """CP-9."""
    found = replayed_over_kills(tmp_path, f"journal.checkpoint_inputs_max={BOUND}")
    assert max(found) < BOUND + LIFE_INPUTS


def test_a_checkpoint_is_due_by_its_age_and_not_by_that_of_the_process(tmp_path):
    """CP-9: kills that come sooner than `checkpoint_seconds` don't put it off."""
    folder = tmp_path / "shard-00"
    lines = stream(30)
    live_and_be_killed(tmp_path, lines[:10], "journal.checkpoint_inputs_max=10")
    (first,) = checkpoint_numbers(folder)
    live_and_be_killed(tmp_path, lines[10:20])
    assert list(checkpoint_numbers(folder)) == [first]
    hour_ago = time.time() - 3600
    os.utime(checkpoint_path(folder, first), (hour_ago, hour_ago))
    assert live_and_be_killed(tmp_path, []) == 10
    assert live_and_be_killed(tmp_path, []) == 0


@pytest.mark.soak
@pytest.mark.slow
@pytest.mark.broker
@pytest.mark.parametrize("processes", ["1", "2"])
def test_a_kill_every_twenty_seconds_leaves_little_to_apply_again(broker, tmp_path, processes):
    """CP-9, with the shipped limits but one: ten kills, each in a life of twenty seconds under load."""
    bound, lines = 5000, tiny_world(60_000)
    world = World(broker, tmp_path)
    part = len(lines) // (KILLS + 1)
    for kill in range(KILLS):
        running = start(world, processes, bound)
        world.send(lines[kill * part : (kill + 1) * part])
        until = time.monotonic() + LIFE_S
        while time.monotonic() < until:
            time.sleep(0.5)
            assert running.process.poll() is None, running.said.read_text()
        pids = members(world)
        running.kill()
        wait_until_gone(pids)
    running = start(world, processes, bound)
    world.send(lines[KILLS * part :])
    running.wait_for(lambda: inputs_in(world.state) >= len(lines), "all inputs")
    assert running.stop() == 0, running.said.read_text()
    last = running.said.read_text().rpartition("state: ")[2]
    again = sum(int(count.replace(",", "")) for count in re.findall(r"([\d,]+) applied again", last))
    assert again < world.shards * bound + part
    world.check()


def start(world: World, processes: str, bound: int) -> Running:
    options = ("--processes", processes, "--set", f"flow.shards={world.shards}")
    return Running(
        *(world.state, world.brokers, *options, "--set", f"journal.recovery_inputs_max={bound}"),
        sources=[world.source],
        to=world.to,
        dead_letters=world.dead_letters,
    )
