"""Runs on topics lose nothing and send nothing twice, whatever is killed: clauses of specs/delivery.md."""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import orjson
import pytest
from commands import headrace
from file_limits import file_sizes_limited
from topic_worlds import (
    PATIENCE_S,
    QUICK,
    SHARDS,
    Running,
    World,
    inputs_in,
    journalled,
    members,
    messages,
    size_of,
    wait_until_gone,
)
from worlds import clicks, payment, tiny_world, write_lines

from headrace.journal.end import journal_end
from headrace.journal.records import Kind
from headrace.shard.routing import keyed

pytestmark = [pytest.mark.recovery, pytest.mark.broker, pytest.mark.slow]

LINES = 3000


@pytest.fixture(scope="module")
def lines() -> list[bytes]:
    return tiny_world(LINES)


def decided(lines: list[bytes]) -> set[str]:
    """Ids of the payments among lines."""
    found = set()
    for line in lines:
        try:
            event = orjson.loads(line)
        except orjson.JSONDecodeError:
            continue
        if event.get("type") == "payment" and "event_id" in event:
            found.add(event["event_id"])
    return found


# -- without faults


def test_one_partition_gives_what_a_run_on_a_file_gives(broker, tmp_path, lines):
    """D-ONCE-1, D-ORDER-1."""
    world = World(broker, tmp_path, partitions=1, shards=1)
    world.send(lines)
    world.run(len(lines))
    path = write_lines(tmp_path / "events.jsonl", lines)
    to, state = tmp_path / "decisions.jsonl", tmp_path / "file-state"
    arguments = ["run", "fraud", "--from", str(path), "--to", str(to), "--state", str(state)]
    assert os.spawnv(os.P_WAIT, sys.executable, [sys.executable, "-m", "headrace", *arguments, *QUICK]) == 0
    assert journalled(world.state, Kind.DECIDED) == to.read_bytes().splitlines()
    world.check()


def test_a_message_has_its_headers_and_its_customer_as_key(world, lines):
    """D-OUT-1, D-OUT-2."""
    world.send(lines[:200])
    world.run(200)
    customers = {}
    for line in lines[:200]:
        try:
            event = json.loads(line)
        except ValueError:
            continue
        customers[f"fraud:{event.get('event_id')}"] = event.get("customer_id")
    found = messages(world.brokers, world.to)
    assert len(found) > 100
    for each in found:
        decision = json.loads(each.value)
        assert each.id == decision["decision_id"]
        assert each.key.decode() == customers[each.id]
        headers = dict(each.headers)
        assert headers["ce_type"] == b"headrace.decision.fraud"
    for each in messages(world.brokers, world.dead_letters):
        letter, headers = json.loads(each.value), dict(each.headers)
        place = [headers[f"headrace_{name}"].decode() for name in ("topic", "partition", "offset")]
        assert headers["headrace_reason"].decode() == letter["reason"]
        assert letter["source"] == f"kafka:{place[0]}/{place[1]}"
        assert (place[0], int(place[2])) == (world.source, letter["offset"])
        assert each.id == "/".join(place)


def test_a_drained_run_goes_on_where_it_stopped_and_has_nothing_to_look_for(world, lines):
    """D-DRAIN-1, D-DRAIN-2."""
    world.send(lines[:1000])
    world.run(1000)
    ends = [journal_end(folder, 0, cut_torn_tail=False) for folder in sorted(world.state.glob("shard-*"))]
    for end in ends:
        assert {note["ordinal"] for note in end.sinks.values()} == {end.boundary.ordinal}
        assert len(end.marks) == world.partitions
    world.send(lines[1000:])
    world.run(len(lines))
    world.check()
    assert {json.loads(each.value)["event_id"] for each in messages(world.brokers, world.to)} <= decided(
        lines
    )
    assert "were sent" not in world.state.with_suffix(".said").read_text()


def test_each_process_serves_its_lag(world, lines):
    world.send(lines[:500])
    running = world.start("--processes", "2", "--metrics-port", "0")
    running.wait_for(lambda: inputs_in(world.state) >= 500, "inputs")

    def served() -> dict[str, float]:
        found = {}
        for each in json.loads((world.state / "processes.json").read_bytes())["processes"]:
            with urllib.request.urlopen(each["metrics"]) as page:
                for line in page.read().decode().splitlines():
                    if line.startswith(("headrace_source_lag_messages{", "headrace_shard_position{")):
                        name, value = line.rsplit(" ", 1)
                        found[name] = float(value)
        return found

    lag = 'headrace_source_lag_messages{{flow="fraud",partition="{0}",source="{0}",topic="{1}"}}'
    lags = {lag.format(number, world.source): 0.0 for number in range(SHARDS)}
    running.wait_for(lambda: served().items() >= lags.items(), "all read")
    positions = [value for name, value in served().items() if name.startswith("headrace_shard_position")]
    assert (len(positions), sum(positions)) == (SHARDS, 500)
    assert running.stop() == 0, running.said.read_text()


def test_other_numbers_of_processes_give_the_same_bytes(world, lines):
    """D-ORDER-2."""
    world.send(lines)
    world.run(len(lines))
    unbroken = [journalled(folder.parent, Kind.DECIDED) for folder in [world.state / "any"]]
    world.anew("changing")
    world.run(700, "--processes", "1")
    world.run(1900, "--processes", "2")
    world.run(len(lines), "--processes", "1")
    assert [journalled(world.state, Kind.DECIDED)] == unbroken
    world.check()


def test_the_quality_of_several_processes_is_told_as_one(world, lines):
    world.send(lines)
    told = []
    for processes in ("1", "2"):
        world.anew(f"of-{processes}")
        world.run(len(lines), "--processes", processes)
        said = world.state.with_suffix(".said").read_text().splitlines()
        told.append(next(line for line in said if line.startswith("quality: ")))
    assert "average precision" in told[0]
    assert told[1] == told[0]


# -- processes


def killed_some_time(world: World, running: Running, rng: random.Random) -> None:
    """Kill while it starts, or when it has journalled some more."""
    if rng.random() < 0.3:
        time.sleep(rng.uniform(0.0, 2.5))
    else:
        wanted = size_of(world.state) + rng.randrange(1, 60_000)
        until = time.monotonic() + rng.uniform(2.0, 6.0)
        while size_of(world.state) < wanted and time.monotonic() < until:
            time.sleep(0.001)
    running.kill()


def inputs_of_slates(lines: list[bytes], shards: int) -> int:
    """How many inputs lines are to shards that all learn from all clicks, orders and catalogue."""
    shared = sum(
        f'"type": "{kind}"'.encode() in line for line in lines for kind in ("click", "order", "item")
    )
    broken = sum(line.endswith(b'\xff"}') for line in lines)
    return (shared - broken) * shards + len(lines) - (shared - broken)


@pytest.mark.parametrize("processes", [1, 2])
def test_lists_outlive_kills_and_have_their_session_as_key(world, processes):
    """D-ONCE-1, D-ONCE-2, D-OUT-2, D-STATE-1."""
    seed = int.from_bytes(os.urandom(4))
    print(f"seed {seed}")  # noqa: T201  # shown when the test fails
    rng, lines, kills = random.Random(seed), clicks(900), 3
    world.flow = "recommend"
    options = ("--processes", str(processes))
    step = len(lines) // kills
    for kill in range(kills):
        world.send(lines[kill * step : (kill + 1) * step])
        killed_some_time(world, world.start(*options), rng)
        wait_until_gone(members(world) if processes > 1 else [])
    world.send(lines[kills * step :])
    world.run(inputs_of_slates(lines, SHARDS), *options)
    world.check()
    sessions = {event["event_id"]: event["session_id"] for event in map(read, lines) if event}
    found = messages(world.brokers, world.to)
    assert found
    for each in found:
        assert each.key == sessions[json.loads(each.value)["event_id"]].encode()
        assert ("ce_type", b"headrace.decision.recommend") in each.headers
    again = headrace("replay", "--state", world.state, "--set", f"flow.shards={SHARDS}", "--json")
    assert again.code == 0, again.said
    compared = json.loads(again.out)
    assert compared["inputs"] == len(lines)
    assert compared["slates"] == len(found)
    assert (compared["not_comparable"]["old_only"], compared["not_comparable"]["new_only"]) == ({}, 0)


def read(line: bytes) -> dict[str, str] | None:
    """A click; None for anything else."""
    event = orjson.loads(line) if b'\xff"}' not in line else {}
    return event if event.get("type") == "click" else None


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


# -- the broker's faults, and the disk's


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
        stood: list[int] = []

        def stands_still() -> bool:
            time.sleep(2.0)
            stood.append(inputs_in(world.state))
            return stood[-2:-1] == stood[-1:]

        running.wait_for(stands_still, "its end")
        memory_then = resident_bytes(running.process.pid)
        assert stood[-1] < len(many)
        time.sleep(2.0)
        assert inputs_in(world.state) == stood[-1]
        assert resident_bytes(running.process.pid) < memory_then + 20_000_000
    running.wait_for(lambda: inputs_in(world.state) >= len(many), "the rest")
    assert running.stop() == 0, running.said.read_text()
    world.check()


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


# -- dead letters of several shards


def test_a_letter_that_another_shard_takes_when_it_is_mended(world, tmp_path):
    """What can't be read stays with the first shard, and mended bytes go where they belong."""
    shards = {keyed(f"c{number}", SHARDS): f"c{number}" for number in range(40)}
    broken = payment(99, customer_id=shards[1], amount=-5.0)
    world.send([*(payment(number, customer_id=shards[0]) for number in range(30)), broken])
    world.run(31)
    of_state = ("--state", world.state)
    (letter,) = map(json.loads, headrace("dead-letters", "list", *of_state).text.splitlines())
    shown = headrace("dead-letters", "show", letter["number"], *of_state)
    assert (shown.code, "-5.0" in shown.text) == (0, True), shown.said
    mended = write_lines(tmp_path / "mended.json", [payment(99, customer_id=shards[1], amount=5.0)])
    number = ("--number", letter["number"])
    retried = headrace("dead-letters", "retry", *of_state, *number, "--payload", mended)
    assert retried.code == 0, retried.said
    world.run(32)
    assert headrace("dead-letters", "list", *of_state).text == ""
    explained = json.loads(headrace("explain", "p99", *of_state, "--json").text)
    told = explained["letter"]
    assert (told["ordinal"], told["replaced"]) == (letter["number"], True)


# -- a state that has lost some time


def test_a_restored_state_sends_nothing_twice(broker, tmp_path, lines):
    """D-REPAIR-4."""
    with closing(World(broker, tmp_path, partitions=1, shards=1)) as world:
        world.send(lines[:1000])
        world.run(1000)
        saved = tmp_path / "saved"
        shutil.copytree(world.state, saved)
        world.send(lines[1000:2000])
        world.run(2000)
        shutil.rmtree(world.state)
        shutil.copytree(saved, world.state)
        before = size_of(world.state)
        running = world.start()
        running.wait_for(lambda: size_of(world.state) > before + 60_000, "part of what was lost")
        running.kill()
        world.send(lines[2000:])
        world.run(len(lines))
        world.check()


# -- what is refused


def test_a_state_of_files_and_one_of_topics_are_not_mixed(world, lines, tmp_path):
    """D-STATE-2."""
    world.send(lines[:50])
    world.run(50)
    path = write_lines(tmp_path / "events.jsonl", lines[:50])
    arguments = ["run", "fraud", "--from", str(path), "--to", str(tmp_path / "out.jsonl")]
    asked = [sys.executable, "-m", "headrace", *arguments, "--set", f"flow.shards={SHARDS}"]
    assert os.spawnv(os.P_WAIT, sys.executable, [*asked, "--state", str(world.state)]) == 7
    other = tmp_path / "of-files"
    assert os.spawnv(os.P_WAIT, sys.executable, [*asked, "--state", str(other)]) == 0
    world.anew("of-files")
    running = world.start()
    assert running.process.wait(PATIENCE_S) == 7
    assert "it can't go on with topics" in running.said.read_text()


def test_messages_deleted_unread_are_told_and_accepted_only_when_asked(world, lines):
    """D-LOST-1."""
    from confluent_kafka import TopicPartition
    from confluent_kafka.admin import AdminClient

    world.send(lines[:400])
    world.run(400)
    world.send(lines[400:800])
    end = {each.partition: each.offset for each in messages(world.brokers, world.source)}
    admin = AdminClient({"bootstrap.servers": world.brokers})
    cut = [TopicPartition(world.source, partition, offset) for partition, offset in end.items()]
    for future in admin.delete_records(cut).values():
        future.result(600)
    refused = world.start()
    assert refused.process.wait(PATIENCE_S) == 13
    assert "--accept-lost" in refused.said.read_text()
    world.run(400 + len(end), "--accept-lost")
    world.check()


# -- commands


def test_a_command_reaches_every_shard_of_every_process_once(world, lines):
    """D-CONTROL-1."""
    world.send(lines[:400])
    running = world.start("--processes", "2", "--set", "control.poll_seconds=0.1")
    running.wait_for(lambda: inputs_in(world.state) >= 400, "inputs")
    arguments = ["control", "kill-switch", "on", "--state", str(world.state)]
    assert os.spawnv(os.P_WAIT, sys.executable, [sys.executable, "-m", "headrace", *arguments]) == 0
    running.wait_for(lambda: inputs_in(world.state) >= 400 + SHARDS, "the command in every shard")
    world.send(lines[400:800])
    running.wait_for(lambda: inputs_in(world.state) >= 800 + SHARDS, "inputs behind it")
    running.wait_for(lambda: not list(world.state.glob("control/*.jsonl")), "the file is removed")
    assert running.stop() == 0, running.said.read_text()
    world.send(lines[800:900])
    world.run(900 + SHARDS)
    assert inputs_in(world.state) == 900 + SHARDS
    by_switch = [json.loads(line).get("policy") for line in journalled(world.state, Kind.DECIDED)]
    assert Counter(by_switch)["kill_switch"] == len(decided(lines[:900]) - decided(lines[:400]))
    world.check()


def test_a_member_that_waits_for_one_that_is_gone_ends_with_its_launcher(world, lines):
    """D-PROC-2: a launcher and one of its members are killed before the members have met."""
    world.send(lines[:50])
    running = world.start("--processes", "2")
    running.wait_for(lambda: members(world), "members")
    pids = members(world)
    os.kill(pids[1], signal.SIGKILL)
    running.process.kill()
    running.process.wait(PATIENCE_S)
    wait_until_gone(pids)
    world.run(50)
    world.check()
