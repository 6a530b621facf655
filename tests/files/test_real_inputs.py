"""Inputs as they come: other formats, nothing that can be used, named pipes, paths that aren't UTF-8."""

from __future__ import annotations

import gzip
import io
import json
import lzma
import os
import threading
import time
import zipfile
from contextlib import suppress
from pathlib import Path

import orjson
import pytest
from commands import contents, headrace, simulated, started_anew

pytestmark = pytest.mark.integration

LINES = simulated(120)
GOOD = b"\n".join(LINES) + b"\n"
MADE = ("--to", "d", "--state", "st")
LATIN = os.fsdecode(b"caf\xe9")


def payments(lines: list[bytes]) -> int:
    return sum(orjson.loads(line)["type"] == "payment" for line in lines)


def decided(path: Path) -> list[str]:
    return [orjson.loads(line)["event_id"] for line in path.read_bytes().splitlines()]


# -- other formats, and nothing that can be used


@pytest.mark.parametrize(
    ("content", "looks"),
    [
        (lzma.compress(GOOD), "looks like it is xz-compressed"),
        (GOOD.decode().encode("utf-16"), "looks like text in UTF-16"),
        (b"event_id,amount\np-1,5\n", "looks like CSV"),
        (gzip.compress(b"event_id,amount\np-1,5\n", mtime=0), "looks like CSV"),
        (json.dumps([json.loads(line) for line in LINES]).encode(), "looks like one JSON array"),
    ],
)
def test_another_format_is_refused_before_anything_is_made(tmp_path, content, looks):
    (tmp_path / "good.jsonl").write_bytes(GOOD)
    (tmp_path / "e.jsonl").write_bytes(content)
    (tmp_path / "d").write_bytes(b"of an earlier run\n")
    before = contents(tmp_path)
    for more in ((), ("--state", "st")):
        run = ("run", "fraud", "--from", "good.jsonl", "--from", "e.jsonl", "--to", "d", *more)
        ended = headrace(*run, folder=tmp_path)
        assert (ended.code, ended.out) == (3, b"")
        assert f"error: e.jsonl: {looks}" in ended.said
        assert contents(tmp_path) == before


def zipped(content: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("events.jsonl", content)
    return packed.getvalue()


@pytest.mark.parametrize(
    ("content", "looks"),
    [
        (b"PAR1\x15\x04\x15\0" + bytes(100_000) + b"PAR1", "looks like it is Parquet"),
        (zipped(GOOD), "looks like it is a zip archive"),
        (GOOD.decode().encode("utf-16"), "looks like text in UTF-16"),
        (b"event_id,amount\np-1,5", "looks like CSV"),
    ],
)
@pytest.mark.parametrize("more", [(), ("--state", "st"), ("--state", "new"), ("--sort",)])
def test_another_format_through_a_pipe_is_refused_before_anything_is_made(tmp_path, content, looks, more):
    (tmp_path / "good.jsonl").write_bytes(GOOD)
    assert headrace("run", "fraud", "--from", "good.jsonl", *MADE, folder=tmp_path).code == 0
    before = contents(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    writer = through(tmp_path / "pipe", content)
    run = ("run", "fraud", "--from", "good.jsonl", "--from", "pipe", "--to", "d", *more)
    ended = headrace(*run, folder=tmp_path)
    writer.join(60)
    assert (ended.code, ended.out) == (3, b"")
    assert f"error: pipe: {looks}" in ended.said
    assert contents(tmp_path) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "d",
        "d.dead-letters",
        "good.jsonl",
        "pipe",
        "st",
    ]


def test_another_format_on_standard_input_is_refused_before_anything_is_made(tmp_path):
    run = ("run", "fraud", "--from", "-", "--to", "d", "--state", "st")
    ended = started_anew(*run, folder=tmp_path, given=gzip.compress(zipped(GOOD)))
    assert ended.code == 3
    assert "error: -: looks like it is a zip archive" in ended.said
    assert list(tmp_path.iterdir()) == []
    ended = started_anew(*run, folder=tmp_path, given=GOOD)
    assert ended.code == 0, ended.said
    assert len(decided(tmp_path / "d")) == payments(LINES)


def test_a_pipe_that_sends_nothing_for_long_does_not_hold_up_a_start(tmp_path):
    os.mkfifo(tmp_path / "pipe")

    def write() -> None:
        with (tmp_path / "pipe").open("wb", buffering=0) as pipe:
            pipe.write(GOOD[:10])  # of a line, so that it isn't known yet what this is
            while not (tmp_path / "d").exists():
                time.sleep(0.01)
            pipe.write(GOOD[10:])

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    ended = headrace("run", "fraud", "--from", "pipe", "--to", "d", folder=tmp_path)
    assert ended.code == 0, ended.said
    writer.join(60)
    assert len(decided(tmp_path / "d")) == payments(LINES)


def test_a_run_that_could_use_nothing_says_what_it_saw(tmp_path):
    (tmp_path / "e.jsonl").write_bytes(b'words\nmore words\n{"type":"paymnt","event_id":"p-1"}\n')
    ended = headrace("run", "fraud", "--from", "e.jsonl", "--to", "d", "--state", "st", folder=tmp_path)
    assert ended.code == 15
    assert "none of the 3 inputs could be used (2 invalid_json, 1 unknown_type); d.dead-letters" in ended.said
    assert len((tmp_path / "d.dead-letters").read_bytes().splitlines()) == 3
    again = headrace("run", "fraud", "--from", "e.jsonl", "--to", "d", "--state", "st", folder=tmp_path)
    assert again.code == 0, again.said  # it has read nothing


def test_a_run_on_events_of_another_flow_says_so(tmp_path):
    (tmp_path / "e.jsonl").write_bytes(GOOD)
    assert (
        "asked for a decision"
        not in headrace("run", "fraud", "--from", "e.jsonl", "--to", "d", folder=tmp_path).said
    )
    lists = headrace("run", "recommend", "--from", "e.jsonl", "--to", "l", folder=tmp_path)
    assert lists.code == 15
    assert "none of the 120 inputs could be used (120 of types that recommend has no use for)" in lists.said
    assert "none of the 120 inputs asked for a decision: recommend decides on clicks" in lists.said


@pytest.mark.parametrize("content", [b"", b"words\n" + GOOD, LINES[0] + b"\n" + LINES[0] + b"\n"])
def test_a_run_that_had_nothing_to_read_or_used_some_ends_well(tmp_path, content):
    (tmp_path / "e.jsonl").write_bytes(content)
    assert headrace("run", "fraud", "--from", "e.jsonl", "--to", "d", folder=tmp_path).code == 0


# -- pipes with names


def through(pipe: Path, content: bytes) -> threading.Thread:
    """Write to a named pipe; it takes as long as the reader does, who may leave before the end."""

    def write() -> None:
        with suppress(BrokenPipeError):
            pipe.write_bytes(content)

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    return writer


def test_a_named_pipe_goes_on_with_what_comes_through_it_next(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    run = ("run", "fraud", "--from", "pipe", "--to", "d", "--state", "st")
    for some in (LINES[:40], LINES[40:90], LINES[90:]):
        writer = through(pipe, b"\n".join(some) + b"\n")
        ended = headrace(*run, folder=tmp_path)
        writer.join(60)
        assert ended.code == 0, ended.said
    (tmp_path / "whole.jsonl").write_bytes(GOOD)
    assert headrace("run", "fraud", "--from", "whole.jsonl", "--to", "w", folder=tmp_path).code == 0
    assert (tmp_path / "d").read_bytes() == (tmp_path / "w").read_bytes()
    assert len(decided(tmp_path / "d")) == payments(LINES)


# -- paths that aren't UTF-8


def test_paths_that_are_not_utf_8(tmp_path):
    folder = tmp_path / LATIN
    folder.mkdir()
    source = folder / f"{LATIN}.jsonl"
    source.write_bytes(GOOD + b"oops\n")
    run = ("run", "fraud", "--from", source.name, "--to", f"{LATIN}.out", "--state", f"{LATIN}.st")
    ended = headrace(*run, folder=folder)
    assert ended.code == 0, ended.said
    assert len(decided(folder / f"{LATIN}.out")) == payments(LINES)
    letter = orjson.loads((folder / f"{LATIN}.out.dead-letters").read_bytes())
    assert letter["source"] == source.resolve().as_uri()
    assert letter["source"].endswith("/caf%E9/caf%E9.jsonl")

    state = folder / f"{LATIN}.st"
    inspected = headrace("state", "inspect", "--state", state, "--json")
    assert orjson.loads(inspected.out)["state"] == state.as_uri()
    listed = headrace("dead-letters", "list", "--state", state, "--source", source.name)
    assert orjson.loads(listed.out)["reason"] == "invalid_json"
    for command in (("ledger", "verify"), ("ledger", "verify", "--json"), ("replay", "--verify", "--json")):
        assert headrace(*command, "--state", state).code == 0

    moved = source.rename(folder / f"{LATIN}{LATIN}.jsonl")
    with moved.open("ab") as file:
        file.write(LINES[0].replace(b'"event_id":"', b'"event_id":"x') + b"\n")
    run = ("run", "fraud", "--from", moved.name, *run[4:])
    assert headrace(*run, folder=folder).code == 5
    assert headrace(*run, "--moved", "follow", folder=folder).code == 0
    assert len(decided(folder / f"{LATIN}.out")) == payments([*LINES, LINES[0]])


def test_a_list_in_a_folder_that_is_not_utf_8(tmp_path):
    folder = tmp_path / LATIN
    folder.mkdir()
    (folder / "blocked").write_text("c-1\n")
    (folder / "e.jsonl").write_bytes(GOOD)
    config = folder / "mine.toml"
    config.write_text(
        '[policy.lists.blocked]\nfile = "blocked"\nkey = "customer_id"\n'
        'action = "block"\ncode = "high_amount"\n'
    )
    run = ("run", "fraud", "--from", "e.jsonl", "--to", "d", "--state", "st", "--config", config)
    assert headrace(*run, folder=folder).code == 0
    assert headrace("control", "reload-list", "blocked", "--state", "st", folder=folder).code == 0
    assert headrace(*run, folder=folder).code == 0


# -- commands and the flow of the state that they are for


def test_a_command_takes_the_configuration_that_its_state_has(tmp_path):
    (tmp_path / "e.jsonl").write_bytes(GOOD)
    run = ("--from", "e.jsonl", "--to", "d", "--state", "st")
    assert headrace("run", "recommend", *run, folder=tmp_path).code == 15  # it has read payments
    ended = headrace("control", "reload-list", "mine", "--state", "st", folder=tmp_path)
    assert ended.code == 2
    assert "no list mine; there are none" in ended.said
    assert "recommend" in ended.said
    assert "fraud.toml" not in ended.said
    (tmp_path / "mine.toml").write_text("[policy]\nblock_at = 0.9\n[flow]\nkind = 'fraud'\n")
    other = headrace(
        "control", "kill-switch", "on", "--state", "st", "--config", "mine.toml", folder=tmp_path
    )
    assert other.code == 2
    assert "is a configuration of fraud, and recommend was asked for" in other.said
