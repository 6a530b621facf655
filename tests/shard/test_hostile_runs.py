"""Runs get thousands of spoiled inputs, in every way in: none ends early, and all good events are decided."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest
from commands import headrace
from hostile import FIELDS, Mutator, good, line_of
from topic_worlds import World, inputs_in, journalled, messages

from headrace.config.loading import load
from headrace.control.inbox import ControlInbox, control_folder, limits_of
from headrace.control.reader import ControlledReader
from headrace.files.line_reader import LineReader
from headrace.files.merged_reader import MergedReader
from headrace.journal.records import Kind
from headrace.operators.events.declared import BUILT_IN
from headrace.operators.events.decode import decode
from headrace.shard.commands import Erase, KillSwitch, ReloadList, decode_flagged, encode_command, retry_of
from headrace.shard.durable import DurableShard

pytestmark = pytest.mark.recovery

SPOILED = [1000, pytest.param(200_000, marks=pytest.mark.soak)]
DECIDED_TYPE = {"fraud": "payment", "recommend": "click"}
flows = pytest.mark.parametrize("flow", DECIDED_TYPE)
spoiled_inputs = pytest.mark.parametrize("count", SPOILED)


def mutator() -> Mutator:
    seed = int(os.environ.get("HEADRACE_SEED") or int.from_bytes(os.urandom(4)))
    print(f"HEADRACE_SEED={seed}")  # noqa: T201  # shown when the test fails
    return Mutator(seed)


def good_lines(flow: str, count: int) -> Iterator[bytes]:
    """Good events, most of them of the type that is decided on; a second apart."""
    for number in range(count):
        kind = DECIDED_TYPE[flow] if number % 3 else list(FIELDS)[number // 3 % len(FIELDS)]
        event = good(kind, number, 1_772_357_400_000 + 1000 * number)
        event |= {"about": f"p{number - 2}"} if kind == "outcome" else {}
        names = ("customer_id", "session_id", "item_id")
        yield line_of(event | {name: f"{name[0]}{number % 97}" for name in names if name in event})


def world(flow: str, count: int) -> tuple[list[bytes], set[str]]:
    """Spoiled inputs with a good event before each, and the ids of those to be decided."""
    spoiler, lines, ids = mutator(), [], set[str]()
    for number, line in enumerate(good_lines(flow, count)):
        event = orjson.loads(line)
        if event["type"] == DECIDED_TYPE[flow]:
            ids.add(event["event_id"])
        # A name of its own: a spoiled event that can be used takes no other's id.
        other = good(spoiler.rng.choice(list(FIELDS)), 0, event["event_time"]) | {"event_id": f"bad-{number}"}
        lines += [line, spoiler.mutated(line_of(other)) or b"{"]
    return lines, ids


def decided_ids(lines: Sequence[bytes]) -> set[str]:
    return {orjson.loads(line)["event_id"] for line in lines}


def run(*arguments: object) -> None:
    """The command line in a process of its own, which may take its time."""
    command = [sys.executable, "-m", "headrace", "run", *map(str, arguments)]
    ended = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    assert ended.returncode == 0, ended.stderr


@pytest.mark.slow
@flows
@spoiled_inputs
def test_from_a_file(tmp_path, flow, count):
    lines, ids = world(flow, count)
    (tmp_path / "in.jsonl").write_bytes(b"".join(line + b"\n" for line in lines))
    to, state = tmp_path / "out.jsonl", tmp_path / "state"
    run(flow, "--from", tmp_path / "in.jsonl", "--to", to, "--state", state)
    decisions = to.read_bytes().splitlines()
    assert ids <= decided_ids(decisions)

    # The same without what was of no use: the same decisions.
    letters = map(orjson.loads, (tmp_path / "out.dead-letters.jsonl").read_bytes().splitlines())
    dead = {letter["line"] for letter in letters}
    assert len(dead) > count / 2
    text = (tmp_path / "in.jsonl").read_bytes().split(b"\n")
    used = [line for number, line in enumerate(text, start=1) if number not in dead]
    (tmp_path / "used.jsonl").write_bytes(b"\n".join(used))
    to = tmp_path / "used-out.jsonl"
    run(flow, "--from", tmp_path / "used.jsonl", "--to", to)
    assert to.read_bytes().splitlines() == decisions


# -- the control channel


class Flow:
    """A flow as a run on files has it, driven by hand: one shard, sources, the control folder."""

    def __init__(self, flow: str, folder: Path, lines: Sequence[bytes]) -> None:
        self.settings: Any = load(None, ("control.poll_seconds=0.01", "control.files_max=100"), flow=flow)
        (folder / "in.jsonl").write_bytes(b"".join(line + b"\n" for line in lines))
        self.shard = DurableShard(folder / "state" / "shard-00", self.settings)
        self.shard.register(0, str(folder / "in.jsonl"))
        self.control = control_folder(folder / "state")
        self.control.mkdir()
        self.number, self.decisions, self.kinds = 0, list[bytes](), dict[int, int]()
        self.inbox = ControlInbox(self.control, limits_of(self.settings))
        self.reader = ControlledReader(
            MergedReader([LineReader(str(folder / "in.jsonl"))], batch_lines_max=8),
            self.inbox,
            sources={str(folder / "in.jsonl"): 0},
            reached=lambda: self.shard.position,
        )
        self.reader.inbox.limits = self.inbox.limits._replace(poll_seconds=0.0)

    def put(self, lines: Sequence[bytes]) -> None:
        self.number += 1
        (self.control / f"{self.number:012}.jsonl").write_bytes(b"\n".join(lines) + b"\n")

    def step(self) -> bool:
        batch = self.reader.next_batch()
        if batch is None:
            return False
        line_bytes_max = self.settings.input.line_bytes_max
        decoded: Sequence[Any] = (
            decode_flagged(batch.payloads, batch.flags, BUILT_IN, line_bytes_max)
            if batch.flags
            else decode(batch.payloads, line_bytes_max)
        )
        applied = self.shard.process(batch, decoded, None)
        self.decisions += [line for _, line in applied.decisions]
        return True

    def close(self) -> None:
        self.reader.close()
        self.shard.close()


def drive(flow: Flow, spoiled: Iterator[list[bytes]]) -> None:
    """Take a batch of good events after every few files of commands, to the end of both."""
    for number, lines in enumerate(spoiled):
        flow.put(lines)
        if not number % 16:
            while flow.step() and flow.inbox.waiting():
                pass
    while flow.step():
        pass


@pytest.mark.slow
@flows
@spoiled_inputs
def test_through_the_control_folder(tmp_path, flow, count, caplog):
    """Files of spoiled commands are refused or carried out; a file is refused as a whole."""
    spoiler = mutator()
    lines = list(good_lines(flow, max(count // 16, 300)))
    driven = Flow(flow, tmp_path, lines)
    given = [
        *map(encode_command, (KillSwitch(on=False), ReloadList(name="x", entries=("a",), digest="0" * 64))),
        encode_command(Erase(customer_id="nobody", keys={"customer_id": ("nobody",)})),
        encode_command(retry_of(lines[0], "/in", 3, 1)),
    ]
    weights = (10, 10, 1, 10)  # an erasure takes a checkpoint, and waits for the disk
    with caplog.at_level("CRITICAL"):
        chosen = (spoiler.rng.choices(given, weights)[0] for _ in range(count))
        drive(driven, ([spoiler.mutated(line)] for line in chosen))
    driven.close()
    assert driven.inbox.refused > count / 3
    asked = {orjson.loads(line)["event_id"] for line in lines if DECIDED_TYPE[flow].encode() in line[:30]}
    assert asked <= decided_ids(driven.decisions)


@pytest.mark.slow
@flows
@spoiled_inputs
def test_as_dead_letters_that_are_tried_again(tmp_path, flow, count):
    spoiler = mutator()
    lines = list(good_lines(flow, max(count // 16, 300)))
    driven = Flow(flow, tmp_path, lines)
    source = str(tmp_path / "in.jsonl")

    def retries() -> Iterator[list[bytes]]:
        for number in range(count // 10):
            kind = spoiler.rng.choice(list(FIELDS))
            event = line_of(good(kind, 0) | {"event_id": f"bad-{number}"})
            some = [spoiler.mutated(event) for _ in range(10)]
            yield [encode_command(retry_of(each, source, number, 1)) for each in some]

    drive(driven, retries())
    driven.close()
    assert not driven.inbox.refused
    asked = {orjson.loads(line)["event_id"] for line in lines if DECIDED_TYPE[flow].encode() in line[:30]}
    assert asked <= decided_ids(driven.decisions)
    assert headrace("replay", "--state", tmp_path / "state", "--verify").code == 0
    assert headrace("dead-letters", "list", "--state", tmp_path / "state").code == 0


# -- topics


@pytest.mark.broker
@pytest.mark.slow
@flows
@spoiled_inputs
def test_from_a_topic(broker, tmp_path, flow, count):
    """D-INPUT-1."""
    lines, ids = world(flow, count)
    topics = World(broker, tmp_path, partitions=1, shards=1)
    topics.flow = flow
    topics.send(lines)
    try:
        topics.run(len(lines))
    finally:
        topics.close()
    decisions = journalled(topics.state, Kind.DECIDED)
    assert ids <= decided_ids(decisions)
    assert inputs_in(topics.state) == len(lines)
    assert sorted(each.value for each in messages(topics.brokers, topics.to)) == sorted(decisions)
    # Of dead letters those that are too large for a message go out cut.
    sent = Counter(each.id for each in messages(topics.brokers, topics.dead_letters))
    assert set(sent.values()) == {1}
    assert len(sent) == len(journalled(topics.state, Kind.DEAD))
