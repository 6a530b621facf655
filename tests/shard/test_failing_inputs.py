"""An input that makes the program itself fail is named, and there is a way past it."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import orjson
import pytest
from commands import ended, fork, headrace, run_main, warm
from faulty import fail_at
from worlds import payment, tiny_world, write_lines

from headrace.journal.reader import JournalReader
from headrace.journal.records import COMMAND, SKIPPED, Kind, Record
from headrace.journal.segments import first_boundary

pytestmark = pytest.mark.recovery

BAD = "bad-one"


def world(tmp_path: Path) -> tuple[Path, int]:
    """A file with one event that makes the program fail, and where that begins."""
    lines = tiny_world(400)
    lines.insert(250, payment(7, event_id=BAD, event_time=orjson.loads(lines[249])["event_time"]))
    return write_lines(tmp_path / "in.jsonl", lines), sum(len(line) + 1 for line in lines[:250])


def run(tmp_path: Path, how: str | None, *options: object) -> tuple[int, str]:
    """A run in a process that fails at the event; its exit code and what it says."""
    arguments = ["run", "fraud", "--from", tmp_path / "in.jsonl", "--to", tmp_path / "out.jsonl"]
    arguments += ["--state", tmp_path / "state", *options]
    said = tmp_path / "said"
    warm()
    child = fork(
        lambda: run_main(list(map(str, arguments)), said, lambda: how and fail_at(BAD, how))  # type: ignore[func-returns-value]
    )
    return ended(child), said.read_text()


def records(state: Path) -> list[Record]:
    found = []
    for folder in sorted(state.glob("shard-*")):
        for frame in JournalReader(folder, first_boundary(folder), cut_torn_tail=False).frames():
            found += [record for record in frame.records if record.kind != Kind.CONTROL]
    return found


def decided(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines()


@pytest.mark.parametrize("shards", [1, 3])
def test_an_error_of_ours_says_where_and_why_and_is_passed_over(tmp_path, shards):
    path, offset = world(tmp_path)
    options = ("--set", f"flow.shards={shards}")
    for _ in range(2):
        code, said = run(tmp_path, "raise", *options)
        assert code == 17
        assert f"error: {path}:{offset}: input 250: made the program fail: ZeroDivisionError: a fault" in said
        assert f"--skip {path}:{offset} " in said
    code, said = run(tmp_path, "raise", *options, "--skip", f"{path}:{offset}", "--skip", f"{path}:1")
    assert code == 0, said
    assert f"--skip {path}:1: no such input came" in said
    assert f"{path}:{offset}: no such" not in said
    letters = map(json.loads, (tmp_path / "out.dead-letters.jsonl").read_bytes().splitlines())
    [letter] = [each for each in letters if each["reason"] == "skipped"]
    assert (letter["offset"], letter["line"]) == (offset, 251)
    [skipped] = [record for record in records(tmp_path / "state") if record.flags & SKIPPED]
    assert (skipped.kind, orjson.loads(skipped.input)["event_id"]) == (Kind.DEAD, BAD)

    # What was passed over stays so, without the option, also when all is applied again.
    for checkpoint in (tmp_path / "state").glob("shard-*/checkpoint-*"):
        checkpoint.unlink()
    code, said = run(tmp_path, "raise", *options)
    assert code == 0, said
    assert headrace("replay", "--state", tmp_path / "state", "--verify").code == 0
    assert headrace("ledger", "verify", "--state", tmp_path / "state").code == 0

    # The others are decided as if it had not come.
    lines = [line for line in path.read_bytes().splitlines() if BAD.encode() not in line]
    write_lines(tmp_path / "good.jsonl", lines)
    arguments = ("run", "fraud", "--from", tmp_path / "good.jsonl", "--to", tmp_path / "good-out.jsonl")
    assert headrace(*arguments, *options).code == 0
    assert decided(tmp_path / "out.jsonl") == decided(tmp_path / "good-out.jsonl")

    # And once its cause is mended it is tried again.
    assert headrace("dead-letters", "retry", "--state", tmp_path / "state", "--reason", "skipped").code == 0
    assert run(tmp_path, None, *options)[0] == 0
    assert orjson.loads(decided(tmp_path / "out.jsonl")[-1])["event_id"] == BAD


@pytest.mark.parametrize(("how", "number"), [("segfault", signal.SIGSEGV), ("kill", signal.SIGKILL)])
def test_a_run_that_dies_twice_at_one_input_names_it(tmp_path, how, number):
    path, offset = world(tmp_path)
    assert run(tmp_path, how)[0] == -number
    code, said = run(tmp_path, how)
    assert code == -number
    assert "died at" not in said
    code, said = run(tmp_path, how)
    assert code == -number
    assert f"the run before died at {path}:{offset}" in said
    code, said = run(tmp_path, how)
    assert code == 17
    assert f"error: {path}:{offset}: the last two runs died at it" in said
    # Nearly everything before it was decided meanwhile.
    assert len(records(tmp_path / "state")) > 250 - 16
    code, said = run(tmp_path, how, "--skip", f"{path}:{offset}")
    assert code == 0, said
    assert len(records(tmp_path / "state")) == len(path.read_bytes().splitlines())


def test_a_command_is_passed_over_too(tmp_path, monkeypatch):
    from headrace.kinds.fraud.machine import FraudShard

    path, _ = world(tmp_path)
    assert run(tmp_path, None)[0] == 0
    assert headrace("control", "kill-switch", "on", "--state", tmp_path / "state").code == 0

    def fail(*_given: object) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr(FraudShard, "command", fail)
        code, said = run(tmp_path, None)
        assert code == 17
        assert "error: control:1: input " in said
        assert "made the program fail: ZeroDivisionError" in said
        code, said = run(tmp_path, None, "--skip", "control:1")
        assert code == 0, said
    [record] = [record for record in records(tmp_path / "state") if record.flags & SKIPPED]
    assert (record.kind, record.flags) == (Kind.DEAD, COMMAND | SKIPPED)
    assert not list((tmp_path / "state" / "control").glob("*.jsonl"))
    for checkpoint in (tmp_path / "state").glob("shard-*/checkpoint-*"):
        checkpoint.unlink()
    assert run(tmp_path, None)[0] == 0
    assert headrace("replay", "--state", tmp_path / "state", "--verify").code == 0
    assert path.exists()


def test_wrong_places_stop_the_start(tmp_path):
    world(tmp_path)
    code, said = run(tmp_path, None, "--skip", "nowhere", "--skip", "in.jsonl:x")
    assert code == 2
    assert said.count("--skip: ") == 2
