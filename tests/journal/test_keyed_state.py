"""A state with a key: nobody without it can write what a start accepts."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from commands import Ended, headrace, simulated

from headrace.journal.checkpoint import (
    checkpoint_numbers,
    checkpoint_path,
    read_checkpoint,
    write_checkpoint,
)
from headrace.journal.segments import segment_numbers, segment_path

pytestmark = pytest.mark.integration

KEY, OTHER = "a key of the operators", "another key of somebody"
SHARD = Path("state/shard-00")


def run(folder: Path, lines: int = 300) -> Ended:
    (folder / "events.jsonl").write_bytes(b"\n".join(simulated(lines)) + b"\n")
    return headrace(
        *("run", "fraud", "--from", "events.jsonl", "--to", "d.jsonl", "--state", "state"), folder=folder
    )


def verify(folder: Path) -> Ended:
    return headrace("ledger", "verify", "--state", "state", folder=folder)


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setenv("HEADRACE_JOURNAL_KEY", KEY)
    return monkeypatch


def test_decisions_are_the_same_and_other_keys_are_refused(key, tmp_path):
    """J-KEY-1 and J-KEY-2."""
    plain = tmp_path / "plain"
    plain.mkdir()
    assert run(tmp_path).code == 0
    assert run(tmp_path, 350).code == 0
    assert verify(tmp_path).code == 0
    for wrong in (None, OTHER):
        key.delenv("HEADRACE_JOURNAL_KEY") if wrong is None else key.setenv("HEADRACE_JOURNAL_KEY", wrong)
        for ended in (run(tmp_path, 400), verify(tmp_path)):
            assert ended.code in (6, 7), ended.said
            assert "there is no key" in ended.said if wrong is None else "another key" in ended.said
    key.delenv("HEADRACE_JOURNAL_KEY")
    assert run(plain, 350).code == 0
    assert (plain / "d.jsonl").read_bytes() == (tmp_path / "d.jsonl").read_bytes()


def test_what_somebody_writes_who_has_no_key_is_refused(key, tmp_path):
    assert run(tmp_path).code == 0
    shard = tmp_path / SHARD
    path = checkpoint_path(shard, checkpoint_numbers(shard)[0])
    kept = path.read_bytes()
    read = read_checkpoint(path)
    head = msgspec.msgpack.decode(read.blobs["head"])
    forged = {
        **read.blobs,
        "head": msgspec.msgpack.encode({**head, "counts": {**head["counts"], "block": 9}}),
    }
    for wrong in (None, OTHER):
        key.delenv("HEADRACE_JOURNAL_KEY") if wrong is None else key.setenv("HEADRACE_JOURNAL_KEY", wrong)
        write_checkpoint(path, read.header, forged)
        key.setenv("HEADRACE_JOURNAL_KEY", KEY)
        ended = run(tmp_path, 350)
        if wrong is None:
            assert (ended.code, "not keyed, and a key is set" in ended.said) == (7, True), ended.said
        else:  # passed over; what is read instead fits the key
            assert ended.code == 0, ended.said
            assert (
                b'"block": 9'
                not in headrace("state", "inspect", "--state", "state", "--json", folder=tmp_path).out
            )
    path.write_bytes(kept)
    assert run(tmp_path, 350).code == 0


def test_a_segment_from_another_place_is_refused(key, tmp_path):
    """J-KEY-3: all of it was written with the key, and not there."""
    assert run(tmp_path, 300).code == 0
    first = (tmp_path / SHARD).rename(tmp_path / "first")
    (tmp_path / "d.jsonl").rename(tmp_path / "first.jsonl")
    assert run(tmp_path, 400).code == 0
    shard = tmp_path / SHARD
    newest = checkpoint_numbers(shard)[0]
    assert newest == checkpoint_numbers(first)[0]
    segment_path(shard, newest).write_bytes(segment_path(first, newest).read_bytes())
    ended = run(tmp_path, 400)
    assert ended.code == 6, ended.said
    assert "doesn't begin where its checkpoint was taken" in ended.said


def test_a_journal_that_somebody_makes_who_has_no_key_is_refused(key, tmp_path):
    """J-KEY-2: nor is a state accepted that has no checkpoint."""
    other = tmp_path / "other"
    other.mkdir()
    assert run(tmp_path).code == 0
    key.delenv("HEADRACE_JOURNAL_KEY")
    assert run(other).code == 0
    key.setenv("HEADRACE_JOURNAL_KEY", KEY)
    (other / "state").rename(tmp_path / "theirs")
    (tmp_path / "state").rename(tmp_path / "ours")
    (tmp_path / "theirs").rename(tmp_path / "state")
    for path in (tmp_path / SHARD).glob("checkpoint-*"):
        path.unlink()  # the journal alone makes the state again
    ended = run(tmp_path)
    assert (ended.code, "not keyed, and a key is set" in ended.said) == (7, True), ended.said


def test_a_key_is_set_and_changed(tmp_path, monkeypatch):
    keys = tmp_path / "keys"

    def put(*lines: str) -> None:
        keys.write_text("\n".join(lines))
        keys.chmod(0o600)

    assert run(tmp_path).code == 0  # before there was one
    monkeypatch.setenv("HEADRACE_JOURNAL_KEY_FILE", str(keys))
    put(KEY)
    assert "add a line `none`" in run(tmp_path, 320).said
    put(KEY, "none")
    assert run(tmp_path, 320).code == 0
    assert verify(tmp_path).code == 0
    put(KEY)
    assert run(tmp_path, 340).code == 0
    assert "not keyed" in verify(tmp_path).said  # its first segments are from before
    put(OTHER, KEY)
    assert run(tmp_path, 360).code == 0
    put(OTHER)
    assert run(tmp_path, 380).code == 0
    put(OTHER, KEY, "none")
    assert verify(tmp_path).code == 0
    assert len(segment_numbers(tmp_path / SHARD)) > 3
    assert segment_path(tmp_path / SHARD, 1).exists()
