"""Processes that are stalled are found, told of, and started again; health answers all the while."""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import closing, suppress

import pytest
from broker import HOST, free_ports
from confluent_kafka.admin import AdminClient, NewPartitions
from file_limits import file_sizes_limited
from topic_worlds import PATIENCE_S, World, inputs_in, members
from worlds import tiny_world

pytestmark = [pytest.mark.recovery, pytest.mark.broker, pytest.mark.slow]


@pytest.fixture(scope="module")
def lines() -> list[bytes]:
    return tiny_world(1200)


@pytest.fixture
def ports() -> int:
    """The first of two neighbouring ports that are free."""
    while True:
        (first,) = free_ports(1)
        with suppress(OSError), socket.socket() as one, socket.socket() as other:
            one.bind((HOST, first))
            other.bind((HOST, first + 1))
            return first


def ask(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=PATIENCE_S) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read().decode()


def told(world: World) -> dict:
    """What processes.json says; empty while there is none."""
    with suppress(OSError, ValueError):
        return json.loads((world.state / "processes.json").read_bytes())
    return {}


def test_a_frozen_process_is_told_of_killed_and_started_again(world, lines, ports):
    """D-PROC-5: the others say who is stalled, and so does whoever answers for it."""
    world.send(lines[:500])
    options = ("--processes", "2", "--metrics-port", str(ports), "--set", "processes.frozen_seconds_max=20")
    running = world.start(*options)
    running.wait_for(lambda: inputs_in(world.state) >= 500, "inputs")
    before = members(world)
    os.kill(before[1], signal.SIGSTOP)
    world.send(lines[500:])
    running.wait_for(lambda: ask(ports, "/readyz") == (503, BUT_ONE_STALLED), "the other one says who")
    running.wait_for(lambda: ask(ports + 1, "/readyz") == (503, ONE_STALLED), "it is answered for")
    assert ask(ports + 1, "/healthz")[0] == 200
    assert [each["stalled"] for each in told(world)["processes"]] == [False, True]
    running.wait_for(lambda: members(world) not in ([], before), "started again")
    running.wait_for(lambda: inputs_in(world.state) >= len(lines), "all inputs")
    running.wait_for(lambda: ask(ports, "/readyz")[0] == ask(ports + 1, "/readyz")[0] == 200, "ready")
    assert told(world)["causes"]["frozen"] >= 1
    assert running.stop() == 0, running.said.read_text()
    said = running.said.read_text()
    assert said.count("process 1 is stalled since") >= 1
    assert "process 1 has been stalled for" in said
    assert f"{len(lines):,} events in" in said  # those of the killed one are counted too
    world.check()


ONE_STALLED = "process 1 is stalled\n"
BUT_ONE_STALLED = f"running, but {ONE_STALLED}"


def test_a_launcher_that_was_stopped_kills_nobody_and_nobody_waits_for_it(world, lines):
    """D-PROC-5."""
    world.send(lines[:500])
    running = world.start("--processes", "2", "--set", "processes.frozen_seconds_max=30")
    running.wait_for(lambda: inputs_in(world.state) >= 500, "inputs")
    before = members(world)
    running.process.send_signal(signal.SIGSTOP)
    world.send(lines[500:])
    until = time.monotonic() + PATIENCE_S
    while inputs_in(world.state) < len(lines):
        assert time.monotonic() < until, "its members wait for it"
        time.sleep(0.05)
    running.process.send_signal(signal.SIGCONT)
    running.wait_for((world.state / "processes.json").exists, "it goes on")
    assert running.stop() == 0, running.said.read_text()
    assert "is killed" not in running.said.read_text()
    assert before != []
    world.check()


@pytest.mark.parametrize("processes", ["1", "2"])
def test_health_answers_while_the_disk_is_full(world, lines, ports, processes):
    """D-DISK-1: a supervisor that asks for health must not end what waits for room."""
    world.send(lines)
    with file_sizes_limited(40_000) as limit:
        running = world.start(
            *("--processes", processes, "--metrics-port", str(ports)),
            *("--set", "journal.checkpoint_inputs_max=1000000"),
        )
    answers = Answers(ports, int(processes))
    running.wait_for(
        answers.until(lambda: running.said.read_text().count("the system refused") >= 3), "tries"
    )
    assert answers.codes == {200}
    for pid in (running.process.pid, *members(world)):
        with suppress(ProcessLookupError):
            resource.prlimit(pid, resource.RLIMIT_FSIZE, limit)
    running.wait_for(answers.until(lambda: inputs_in(world.state) >= len(lines)), "all inputs, with room")
    assert answers.codes == {200}
    assert running.stop() == 0, running.said.read_text()
    assert f"{len(lines):,} events in" in running.said.read_text()  # of all attempts
    world.check()


class Answers:
    """Asks all processes for their health again and again, once the first has answered."""

    def __init__(self, port: int, count: int) -> None:
        self.ports = range(port, port + count)
        self.codes: set[int] = set()

    def until(self, reached: Callable[[], bool]) -> Callable[[], bool]:
        def ask_and_look() -> bool:
            for port in self.ports:
                try:
                    self.codes.add(ask(port, "/healthz")[0])
                except urllib.error.URLError:
                    assert not self.codes, "health answered before, and doesn't any more"
            return reached()

        return ask_and_look


def test_a_launcher_that_is_told_to_stop_before_the_next_start_ends_well(world, lines):
    """D-DRAIN-3: what the processes that ended have left is left to the next start."""
    world.send(lines[:1000])
    running = world.start("--processes", "2", "--set", "kafka.settle_ms=2000")
    running.wait_for(lambda: inputs_in(world.state) >= 1000, "inputs")
    os.kill(members(world)[0], signal.SIGKILL)
    running.wait_for(lambda: "a process ended with SIGKILL" in running.said.read_text(), "its end")
    assert running.stop() == 0, running.said.read_text()
    world.send(lines[1000:])
    world.run(len(lines))
    world.check()


# -- what isn't read


def figures(port: int) -> dict[str, float]:
    """Metrics of one process, by name and labels."""
    lines = ask(port, "/metrics")[1].splitlines()
    return {
        name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")
    }


def of(seen: dict[str, float], name: str) -> list[float]:
    return [value for key, value in seen.items() if key.startswith(f"headrace_{name}{{")]


def test_silent_brokers_and_added_partitions_are_told_and_a_restart_reads_those(
    own_broker, tmp_path, lines, ports
):
    """D-BROKER-2, D-MARK-1."""
    with closing(World(own_broker, tmp_path, partitions=2, shards=2)) as world:
        world.send(lines[:300])
        quick = ("--set", "kafka.silent_seconds_max=3", "--set", "kafka.metadata_seconds=1")
        running = world.start("--metrics-port", str(ports), *quick)
        running.wait_for(lambda: inputs_in(world.state) >= 300, "inputs")
        running.wait_for(lambda: ask(ports, "/readyz") == (200, "running\n"), "ready")
        running.wait_for(lambda: of(figures(ports), "source_lag_known") == [1, 1], "known lags")
        with own_broker.silent():
            running.wait_for(
                lambda: "nothing was heard of the brokers" in ask(ports, "/readyz")[1], "silence"
            )
            running.wait_for(lambda: of(figures(ports), "source_lag_known") == [0, 0], "unknown lags")
            seen = figures(ports)
            assert of(seen, "source_lag_messages") == []
            assert min(of(seen, "source_lag_seconds")) >= 3.0
            assert ask(ports, "/healthz")[0] == 200
        running.wait_for(lambda: ask(ports, "/readyz")[0] == 200, "ready again")
        assert running.said.read_text().count("nothing heard of the brokers") == 1
        grow(own_broker.brokers, world.source, 3)
        running.wait_for(lambda: "1 added partitions of" in ask(ports, "/readyz")[1], "the added one")
        assert of(figures(ports), "topic_unread_partitions") == [1]
        assert running.said.read_text().count("has grown from 2 to 3 partitions") == 1
        world.partitions = 3
        world.send(lines[300:600])
        assert running.stop() == 0, running.said.read_text()
        world.run(600)
        world.check()


def grow(brokers: str, topic: str, partitions: int) -> None:
    admin = AdminClient({"bootstrap.servers": brokers})
    for future in admin.create_partitions([NewPartitions(topic, partitions)]).values():
        future.result(PATIENCE_S)
