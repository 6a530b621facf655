"""Runs on topics that are told to stop, by whom and whenever."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from topic_worlds import PATIENCE_S, inputs_in, members, wait_until_gone

pytestmark = [pytest.mark.recovery, pytest.mark.broker, pytest.mark.slow]


def test_a_second_launcher_is_refused(world, lines):
    """D-PROC-3."""
    world.send(lines[:100])
    running = world.start("--processes", "2")
    running.wait_for(lambda: inputs_in(world.state) >= 100, "inputs")
    second = world.start()
    assert second.process.wait(PATIENCE_S) == 8
    running.process.kill()  # its members hold the lock for as long as they live
    assert running.process.wait(PATIENCE_S) == -signal.SIGKILL
    pids = members(world)
    wait_until_gone(pids)
    world.send(lines[100:200])
    world.run(200)
    world.check()


def test_a_member_that_is_told_to_stop_stops_all(world, lines):
    """D-PROC-4."""
    world.send(lines[:300])
    running = world.start("--processes", "2")
    running.wait_for(lambda: inputs_in(world.state) >= 300, "inputs")
    os.kill(members(world)[1], signal.SIGTERM)
    assert running.process.wait(PATIENCE_S) == 0
    world.check()


@pytest.mark.parametrize("processes", ["1", "2"])
def test_a_keyboards_interrupt_drains_all(world, lines, processes):
    """D-DRAIN-1, D-DRAIN-2: it comes to the launcher and to each of its members."""
    world.send(lines[:300])
    running = world.start("--processes", processes)
    running.wait_for(lambda: inputs_in(world.state) >= 300, "inputs")
    for pid in (running.process.pid, *members(world)):
        os.kill(pid, signal.SIGINT)
    assert running.process.wait(PATIENCE_S) == 0, running.said.read_text()
    world.send(lines[300:400])
    world.run(400)
    assert "were sent" not in running.said.read_text()
    world.check()


@pytest.mark.parametrize("processes", ["1", "2"])
def test_a_run_that_is_told_to_stop_before_it_decides_does(world, lines, processes):
    """D-DRAIN-3: also while its processes are being loaded."""
    world.send(lines[:300])
    early = world.start("--processes", processes)
    early.wait_for(lambda: catches(early.process.pid, signal.SIGTERM), "the signal's handler")
    assert early.stop() == 0, early.said.read_text()
    if processes == "2":
        running = world.start("--processes", processes)
        running.wait_for((world.state / "processes.json").exists, "processes")
        assert running.stop() == 0, running.said.read_text()
    world.run(300)
    world.check()


def catches(pid: int, number: signal.Signals) -> bool:
    """Whether a process has a handler of its own for a signal."""
    status = Path(f"/proc/{pid}/status").read_text()
    caught = next(line for line in status.splitlines() if line.startswith("SigCgt"))
    return bool(int(caught.split()[1], 16) >> (number - 1) & 1)
