"""Runs on topics whose broker is gone, or whose disk is full."""

from __future__ import annotations

import resource
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from file_limits import file_sizes_limited
from topic_worlds import Running, World, inputs_in, journalled, members, messages
from worlds import tiny_world

from headrace.journal.records import Kind

pytestmark = [pytest.mark.recovery, pytest.mark.broker, pytest.mark.slow]


def test_a_broker_that_is_gone_for_a_while_and_killed(own_broker, tmp_path, lines):
    """D-BROKER-1."""
    world = World(own_broker, tmp_path)
    world.send(lines[:1000])
    running = world.start()
    running.wait_for(lambda: inputs_in(world.state) >= 1000, "inputs")
    own_broker.stop(kill=True)
    time.sleep(5)
    own_broker.start()
    world.send(lines[1000:])
    running.wait_for(lambda: inputs_in(world.state) >= len(lines), "inputs after the broker was back")
    assert running.stop() == 0, running.said.read_text()
    world.check()


def resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()


def test_a_sink_that_takes_nothing_stops_the_source(own_broker, tmp_path):
    """D-LIMIT-1: what waits to be sent is bounded, and with it what is read and journalled."""
    world = World(own_broker, tmp_path, partitions=1, shards=1)
    many = tiny_world(12_000)
    world.send(many[:500])
    running = world.start("--set", "kafka.send_queue_messages_max=300")
    running.wait_for(lambda: inputs_in(world.state) >= 500, "inputs")
    world.send(many[500:])
    running.wait_for(lambda: inputs_in(world.state) >= 1000, "inputs")
    with own_broker.silent():
        stood = stands_still(running, world.state)
        memory_then = resident_bytes(running.process.pid)
        assert stood < len(many)
        time.sleep(2.0)
        assert inputs_in(world.state) == stood
        assert resident_bytes(running.process.pid) < memory_then + 20_000_000
    running.wait_for(lambda: inputs_in(world.state) >= len(many), "the rest")
    assert running.stop() == 0, running.said.read_text()
    world.check()


def stands_still(running: Running, state: Path) -> int:
    """Wait until nothing more is journalled; give how many inputs are."""
    counts: list[int] = []

    def still() -> bool:
        time.sleep(2.0)
        counts.append(inputs_in(state))
        return len(counts) > 2 and counts[-3] == counts[-1]

    running.wait_for(still, "its end")
    return counts[-1]


@pytest.mark.parametrize("processes", ["1", "2"])
def test_where_files_cant_grow_nothing_goes_out_until_they_can(world, lines, processes):
    """D-DISK-1, with a limit to the size of files."""
    world.send(lines)
    with file_sizes_limited(60_000) as limit:  # of any file; the child inherits it
        running = world.start("--processes", processes, "--set", "journal.checkpoint_inputs_max=1000000")

    def make_room() -> None:
        for pid in (running.process.pid, *members(world)):
            with suppress(ProcessLookupError):
                resource.prlimit(pid, resource.RLIMIT_FSIZE, limit)

    waits_for_room(world, running, lines, make_room)


@pytest.mark.parametrize("processes", ["1", "2"])
def test_on_a_full_disk_nothing_goes_out_until_there_is_room(world, lines, processes):
    """D-DISK-1, on a small file system."""
    world.send(lines)
    world.state.mkdir()
    with mounted(world.state, "size=400k"):
        running = world.start("--processes", processes, "--set", "journal.checkpoint_inputs_max=1000000")
        try:
            waits_for_room(
                world,
                running,
                lines,
                lambda: mount("-o", "remount,size=64m", str(world.state)).check_returncode(),
            )
        finally:
            world.close()


def waits_for_room(world: World, running: Running, lines: list[bytes], make_room: Callable[[], None]) -> None:
    running.wait_for(lambda: running.said.read_text().count("the system refused") >= 2, "tries")
    assert "panic" not in running.said.read_text()
    # One process may be out of room while another still has some.
    stands_still(running, world.state)
    journalled_then = inputs_in(world.state)
    sent = {each.value for each in messages(world.brokers, world.to)}
    assert len(sent) > 0
    assert sent <= set(journalled(world.state, Kind.DECIDED))
    assert inputs_in(world.state) == journalled_then < len(lines)
    make_room()
    running.wait_for(lambda: inputs_in(world.state) >= len(lines), "all inputs, with room")
    assert running.stop() == 0, running.said.read_text()
    world.check()


def mount(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["mount", *options], check=False, capture_output=True, text=True)


@contextmanager
def mounted(folder: Path, options: str) -> Iterator[None]:
    """A file system of a limited size on a folder; the test is skipped where mounting isn't allowed."""
    made = mount("-t", "tmpfs", "-o", options, "tmpfs", str(folder))
    if made.returncode:
        pytest.skip(
            f"no file system can be mounted here, a limit to files stands for it: {made.stderr.strip()}"
        )
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("processes", ["1", "2"])
def test_a_run_on_a_full_disk_can_be_stopped(world, lines, processes):
    """D-DISK-1."""
    world.send(lines)
    with file_sizes_limited(60_000):
        running = world.start("--processes", processes, "--set", "journal.checkpoint_inputs_max=1000000")
    running.wait_for(lambda: running.said.read_text().count("the system refused") >= 2, "tries")
    assert running.stop() in {0, 14}
    assert "stopped, as asked" not in running.said.read_text()
    world.run(len(lines))
    world.check()
