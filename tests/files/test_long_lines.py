"""Lines too long to be kept become dead letters, and everything that reads a journal lives with them."""

from __future__ import annotations

import base64
import gzip
import json
import sys
from hashlib import sha256
from pathlib import Path

import pytest
from commands import ended, fork, headrace, run_main, started_anew, warm
from worlds import tiny_world, write_lines

from headrace.journal.reader import JournalReader
from headrace.journal.records import CUT, Kind
from headrace.journal.segments import first_boundary

pytestmark = pytest.mark.recovery

LIMITS = ("--set", "input.line_bytes_max=4096", "--set", "input.line_kept_bytes_max=65536")
LONG = b'{"type":"payment","customer_id":"c-gone","event_id":"' + bytes(range(128, 256)) * 6000 + b'"}'


@pytest.fixture
def lines() -> list[bytes]:
    lines = tiny_world(300)
    return [*lines[:100], LONG, *lines[100:200], b"x" * 65_536, LONG * 2, *lines[200:]]


def letters(path: Path) -> list[dict[str, object]]:
    found = map(json.loads, path.read_bytes().splitlines())
    return [letter for letter in found if letter["reason"] == "line_too_long"]


def run(folder: Path, source: Path, *options: object) -> tuple[bytes, bytes]:
    to = folder / "out.jsonl"
    ended = headrace("run", "fraud", "--from", source, "--to", to, *LIMITS, *options)
    assert ended.code == 0, ended.said
    return to.read_bytes(), (folder / "out.dead-letters.jsonl").read_bytes()


def test_they_are_dead_letters_with_head_length_and_digest_and_the_rest_is_decided(tmp_path, lines):
    source = write_lines(tmp_path / "in.jsonl", lines)
    decisions, _ = run(tmp_path, source)
    first, whole, second = letters(tmp_path / "out.dead-letters.jsonl")
    for letter, line, number in ((first, LONG, 101), (second, LONG * 2, 203)):
        assert base64.b64decode(letter["payload_base64"]) == line[:4097]
        assert letter["payload_bytes"] == len(line)
        assert letter["payload_sha256"] == sha256(line).hexdigest()
        assert letter["line"] == number
        assert source.read_bytes()[letter["offset"] :].startswith(line + b"\n")
    assert base64.b64decode(whole["payload_base64"]) == b"x" * 65_536
    assert "payload_bytes" not in whole

    short = [line for line in lines if len(line) < 4096]
    assert run(tmp_path, write_lines(tmp_path / "short.jsonl", short))[0] == decisions


def test_compressed_files_and_standard_input_are_read_alike(tmp_path, lines):
    source = write_lines(tmp_path / "in.jsonl", lines)
    decisions, dead = run(tmp_path, source)
    packed = tmp_path / "in.jsonl.gz"
    packed.write_bytes(gzip.compress(source.read_bytes()))
    assert run(tmp_path, packed)[0] == decisions
    to = tmp_path / "out.jsonl"
    piped = started_anew("run", "fraud", "--from", "-", "--to", to, *LIMITS, given=source.read_bytes())
    assert piped.code == 0, piped.said
    assert to.read_bytes() == decisions
    said = (tmp_path / "out.dead-letters.jsonl").read_bytes()
    assert said == dead.replace(str(source).encode(), b"-")


@pytest.mark.parametrize("shards", [1, 2])
def test_recovery_replay_erasure_and_retry_live_with_them(tmp_path, lines, shards):
    source, state = write_lines(tmp_path / "in.jsonl", lines), tmp_path / "state"
    options = ("--state", state, "--set", f"flow.shards={shards}")
    whole = run(tmp_path, source, "--set", f"flow.shards={shards}")
    for path in tmp_path.glob("out*"):
        path.unlink()

    # Killed between journal and output, then applied again from the start.
    def die_soon() -> None:
        from headrace.files.output_file import OutputFile

        OutputFile.write = lambda *_given: sys.exit(9)  # type: ignore[method-assign]

    warm()
    arguments = ["run", "fraud", "--from", source, "--to", tmp_path / "out.jsonl", *LIMITS, *options]
    code = ended(fork(lambda: run_main(list(map(str, arguments)), tmp_path / "said", die_soon)))
    assert code != 0
    assert run(tmp_path, source, *options) == whole
    for checkpoint in state.glob("shard-*/checkpoint-*"):
        checkpoint.unlink()
    assert run(tmp_path, source, *options) == whole
    first = state / "shard-00"  # what can't be read is with the first shard
    frames = list(JournalReader(first, first_boundary(first), cut_torn_tail=False).frames())
    cut = [record for frame in frames for record in frame.records if record.flags & CUT]
    said = [(record.kind, len(record.input), len(record.detail)) for record in cut]
    assert said == [(Kind.DEAD, 4097, 40)] * 2
    assert headrace("replay", "--state", state, "--verify").code == 0
    assert headrace("replay", "--state", state, "--set", "input.line_bytes_max=65536").code == 0
    assert headrace("dead-letters", "list", "--state", state).text.count("line_too_long") == 3
    number = cut[0].ordinal
    shown = headrace("dead-letters", "show", number, "--state", state).text
    assert f"payload  {len(LONG)} bytes, SHA-256 {sha256(LONG).hexdigest()}\n" in shown
    assert "kept     the first 4097 bytes\n" in shown
    refused = headrace("dead-letters", "retry", "--state", state, "--number", number)
    assert refused.code == 3
    assert f"letter {number}: of its {len(LONG)} bytes only the first 4097 are kept" in refused.said
    headrace("erase", "--customer", "c-gone", "--state", state)
    assert headrace("ledger", "verify", "--state", state).code == 0
    assert headrace("dead-letters", "list", "--state", state).text.count("line_too_long") == 1
    assert run(tmp_path, source, *options)[0] == whole[0]
