"""From topics to topics through a broker: the same bytes as on files, by any number of processes."""

from __future__ import annotations

import json
import os
import random
import sys
import time
import urllib.request

import orjson
import pytest
from commands import headrace
from topic_lines import decided
from topic_worlds import (
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
from worlds import clicks, write_lines

from headrace.journal.end import journal_end
from headrace.journal.records import Kind

pytestmark = [pytest.mark.recovery, pytest.mark.broker, pytest.mark.slow]


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
