"""The `erase` command on stopped and on running flows, and what the other commands say afterwards."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from base64 import b64decode
from pathlib import Path

import pytest
from erasures import CUSTOMER, TRACE, check_gone, command_line, customers, erase, inputs, traces
from killing import killed_within_a_batch
from worlds import World, all_of, overrides, payment, stream, write_lines

from headrace.config.loading import load
from headrace.control.inbox import control_folder
from headrace.erasure.search import find_customer
from headrace.journal import erasures as erasure
from headrace.journal.checkpoint import checkpoint_numbers
from headrace.journal.erasures import work_files
from headrace.shard.durable import DurableShard
from headrace.state import backup
from headrace.state.backup import back_up, restore

pytestmark = pytest.mark.integration

BATCHES = overrides(input__batch_lines_max=16, journal__checkpoint_inputs_max=50)
PACED = ("--speed", "6000", *overrides(control__poll_seconds=0.05))
UNTIL_S = 600.0


@pytest.fixture(scope="module")
def events(tmp_path_factory) -> Path:
    """A customer who is to be erased, after a while only others, and in the end payments hours apart."""
    lines = [*customers(60), *stream(100, first=100), *(payment(1200 * number) for number in range(1, 100))]
    return write_lines(tmp_path_factory.mktemp("world") / "events.jsonl", lines)


@pytest.fixture(params=[1, 3])
def ended(tmp_path, request) -> World:
    events = write_lines(tmp_path / "events.jsonl", customers(60))
    world = World(tmp_path / "world", (events,), BATCHES + overrides(flow__shards=request.param))
    assert world.run() == 0, world.said
    return world


def said(world: World, *arguments: str) -> tuple[int, str]:
    code = command_line(world, *arguments, "--state", str(world.state))
    return code, " ".join(world.said.split())


def contents(world: World) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in all_of(world)}


def until(reached) -> None:
    for _ in range(int(UNTIL_S / 0.02)):
        if reached():
            return
        time.sleep(0.02)
    pytest.fail("it was not reached")


def test_looking_changes_nothing(ended):
    before = contents(ended)
    code, dry = said(ended, "erase", "--customer", CUSTOMER, "--dry-run")
    assert code == 0
    found = find_customer(ended.shards(), CUSTOMER)
    assert f"inputs {found.inputs} (" in dry
    assert "1 customer_id, 1 session_id" in dry
    code, listed = said(ended, "erase", "--customer", CUSTOMER, "--list")
    assert code == 0
    assert f"{ended.sources[0]}: {found.inputs} lines" in listed
    for what in ("sources", "outputs", "exports", "backups", "aggregates"):
        assert what in listed
    assert contents(ended) == before


def test_nobody_is_erased_and_nothing_is_asked_for(ended):
    before = contents(ended)
    code, told = said(ended, "erase", "--customer", "never-seen")
    assert (code, "inputs 0" in told) == (0, True)
    assert contents(ended) == before


def test_what_the_other_commands_say(ended, tmp_path):
    decisions = [json.loads(line) for line in ended.decisions.read_bytes().splitlines()]
    gone = [each["event_id"] for each in decisions if TRACE.decode() in each["event_id"]]
    assert said(ended, "explain", gone[0])[0] == 0
    assert erase(ended) == 0, ended.said
    code, told = said(ended, "explain", gone[0])
    assert code == 9
    assert "erased records have no id any more" in told
    code, told = said(ended, "ledger", "verify", "--json")
    shards = json.loads(told)["shards"]
    erased = sum(record.erased for shard in ended.shards() for record in inputs(shard))
    assert (code, sum(shard["erased"] for shard in shards)) == (0, erased)
    assert sum(shard["unnoted"] for shard in shards) == 0
    table = tmp_path / "table.jsonl"
    code, told = said(ended, "ledger", "export", "--to", str(table))
    assert (code, f"{len(gone)} erased ones are left out" in told) == (0, True)
    rows = [json.loads(line)["event_id"] for line in table.read_bytes().splitlines()]
    assert sorted(rows) == sorted(each["event_id"] for each in decisions if each["event_id"] not in gone)
    assert said(ended, "dead-letters", "list")[0] == 0
    letters = [b64decode(json.loads(line)["payload_base64"]) for line in ended.said.splitlines()]
    written = [json.loads(line) for line in ended.dead_letters.read_bytes().splitlines()]
    payloads = [b64decode(letter["payload_base64"]) for letter in written]
    assert sum(TRACE in payload for payload in payloads) > 1
    assert sorted(letters) == sorted(payload for payload in payloads if TRACE not in payload)
    assert said(ended, "state", "inspect")[0] == 0
    check_gone(ended)


def test_who_erases_bytes_by_hand_leaves_no_note(ended):
    assert erase(ended) == 0, ended.said
    shard = next(each for each in ended.shards() if any(record.erased for record in inputs(each)))
    from headrace.journal.erased_segments import erase_segments

    kept = next(record for record in inputs(shard) if not record.erased)
    newest = checkpoint_numbers(shard)[0]
    erase_segments(shard, newest, [kept.ordinal], lambda: True)
    code, told = said(ended, "ledger", "verify")
    assert code == 0
    assert "1 of them without a note of it" in told


@pytest.mark.parametrize("shards", [1, 3])
def test_a_running_flow_erases_and_goes_on(tmp_path, events, shards):
    options = BATCHES + overrides(flow__shards=shards)
    whole = World(tmp_path / "whole", (events,), options)
    assert whole.run() == 0, whole.said
    world = World(tmp_path / "running", (events,), options + PACED)
    child = world.start()
    *_, last = (line for line in whole.decisions.read_bytes().splitlines() if TRACE in line)
    until(lambda: world.decisions.exists() and b'"p120"' in world.decisions.read_bytes())
    assert last in world.decisions.read_bytes()
    elsewhere = World(tmp_path / "elsewhere", ())
    elsewhere.folder.mkdir()
    code = command_line(elsewhere, "erase", "--customer", CUSTOMER, "--state", str(world.state))
    assert code == 0, elsewhere.said
    assert os.waitpid(child, os.WNOHANG) == (0, 0), "the flow had ended before it was done"
    assert [path for path in traces(world) if ".tmp" not in path.name] == []
    assert list(control_folder(world.state).glob("*.jsonl")) == []
    os.kill(child, signal.SIGTERM)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert World(world.folder, (events,), options).run() == 0, world.said
    check_gone(world)
    assert world.outputs() == whole.outputs()


def test_an_idle_flow_erases_without_a_further_input(tmp_path):
    world = World(tmp_path / "idle", ())
    world.folder.mkdir()
    arguments = ["run", "fraud", "--from", "-", "--to", str(world.decisions), "--state", str(world.state)]
    options = (*BATCHES, *overrides(control__poll_seconds=0.05))
    with subprocess.Popen(
        [sys.executable, "-m", "headrace", *arguments, *options],
        stdin=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as flow:
        assert flow.stdin is not None
        flow.stdin.write(b"".join(line + b"\n" for line in customers(60)))
        flow.stdin.flush()
        until(lambda: world.decisions.exists() and b'"p59"' in world.decisions.read_bytes())
        assert erase(world) == 0, world.said
        assert flow.poll() is None
        assert traces(world) == []
        flow.stdin.write(payment(70) + b"\n")
        flow.stdin.close()
        assert flow.wait(UNTIL_S) == 0
    check_gone(world)


def test_after_a_kill_between_shards_it_waits_for_the_flow(tmp_path):
    events = write_lines(tmp_path / "events.jsonl", customers(42))
    world = killed_within_a_batch(tmp_path, events, events)
    assert erase(world) == 11
    assert "the next start of the flow goes on with it" in " ".join(world.said.split())
    assert len(list(control_folder(world.state).glob("*.jsonl"))) == 1
    assert world.run() == 0, world.said
    # What was asked for named what the journals held then; what was read again since is asked for anew.
    assert erase(world) == 0, world.said
    check_gone(world)


def test_an_erasure_that_fails_is_finished_later_also_by_a_restored_backup(tmp_path, monkeypatch):
    settings = load(None, BATCHES[1::2])
    lines = write_lines(tmp_path / "events.jsonl", customers(42))
    world = World(tmp_path / "world", (lines,), BATCHES)
    assert world.run() == 0, world.said

    def refuse(*_: object) -> list[int]:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(erasure, "erase_segments", refuse)
        assert erase(world) == 11
    (shard,) = world.shards()
    assert len(work_files(shard)) == 1
    code, told = said(world, "state", "inspect")
    assert (code, "1 asked for and not finished" in told) == (0, True)
    back_up(world.state, tmp_path / "backup")
    restored = World(tmp_path / "restored", ())
    restored.folder.mkdir()
    restore(tmp_path / "backup", restored.state)
    again = DurableShard(restored.shards()[0], settings)
    again.close()
    check_gone(restored)
    assert erase(world) == 0, world.said
    check_gone(world)


def test_a_backup_made_while_its_checkpoints_go_is_begun_anew(tmp_path, monkeypatch):
    """An erasure comes between looking where the journals end and opening their files."""
    lines = write_lines(tmp_path / "events.jsonl", customers(42))
    world = World(tmp_path / "world", (lines,), BATCHES)
    assert world.run() == 0, world.said
    looked = backup._ends
    calls = []

    def then_erased(directories):
        ends = looked(directories)
        calls.append(ends)
        if len(calls) == 1:
            assert erase(world) == 0, world.said
        return ends

    monkeypatch.setattr(backup, "_ends", then_erased)
    back_up(world.state, tmp_path / "backup")
    assert len(calls) == 2
    restored = World(tmp_path / "restored", (lines,), BATCHES)
    restored.folder.mkdir()
    restore(tmp_path / "backup", restored.state)
    check_gone(restored)
    for name in ("decisions.jsonl", "dead.jsonl"):
        (restored.folder / name).write_bytes((world.folder / name).read_bytes())
    assert restored.run() == 0, restored.said


@pytest.mark.parametrize("shards", [1, 3])
def test_what_nobody_can_judge_ends_with_a_code_of_its_own(tmp_path, shards):
    shapes = [
        b'{"customer": {"id": "%b"}}' % CUSTOMER.encode(),
        b'{"Customer_ID": "%b", "amount": 1' % CUSTOMER.encode(),
        b"{'customer_id': '%b', 'stadt': 'K\xf6ln'}" % CUSTOMER.encode(),
    ]
    unsure = [b"\x1f\x8b\x08\x00compressed", b'{"order": "order-%b"}' % CUSTOMER.encode()]
    events = write_lines(tmp_path / "events.jsonl", [*customers(20), *shapes, *unsure])
    world = World(tmp_path / "world", (events,), BATCHES + overrides(flow__shards=shards))
    assert world.run() == 0, world.said
    code, dry = said(world, "erase", "--customer", CUSTOMER, "--dry-run")
    assert (code, "unsure 2 dead letters" in dry) == (0, True)
    code, told = said(world, "erase", "--customer", CUSTOMER)
    assert code == 16
    assert "2 dead letters may be theirs" in told
    assert "Nothing of them" not in told
    number = told.split("shard-00: inputs ")[1].split("-")[0].split(",")[0]
    code, shown = said(world, "dead-letters", "show", number)
    assert (code, "payload" in shown) == (0, True)
    left = b"".join(each for path, each in contents(world).items() if path.name.startswith("segment"))
    assert CUSTOMER.encode() not in left.replace(b"order-" + CUSTOMER.encode(), b"")
    code, told = said(world, "erase", "--customer", CUSTOMER, "--unsure")
    assert (code, "Nothing of them is in the state now" in told) == (0, True)
    code, told = said(world, "erase", "--customer", CUSTOMER)
    assert (code, "inputs 0" in told) == (0, True)
