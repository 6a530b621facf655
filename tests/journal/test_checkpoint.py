"""Checkpoints and their forked writer, by the clauses CP-... of docs/specs/journal.md."""

import errno
import gc
import hashlib
import json
import logging
import os
import signal
import struct
import subprocess
import sys
import textwrap
import time
from array import array
from collections.abc import Callable
from pathlib import Path

import pytest

from headrace.errors import CheckpointDamaged, StateMismatch
from headrace.journal.checkpoint import (
    ForkedWriter,
    checkpoint_numbers,
    checkpoint_path,
    newest_readable,
    prune_checkpoints,
    read_checkpoint,
    write_checkpoint,
)

HEADER = {"position": 12, "sources": {"0": "payments.jsonl"}, "learn": True}
BLOBS = {
    "weights": array("d", [0.5, -1.0]),
    "ids": b"abc",
    "empty": array("I"),
    "view": memoryview(b"12345678"),
}


def refuse(*given: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def eventually(holds: Callable[[], bool], seconds: float = 600.0) -> bool:
    until = time.monotonic() + seconds
    while not holds() and time.monotonic() < until:
        time.sleep(0.01)
    return holds()


# ---------------------------------------------------------------- files


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = checkpoint_path(tmp_path, 7)
    write_checkpoint(path, HEADER, BLOBS)
    segment, header, blobs = read_checkpoint(path)
    assert (path.name, segment, header) == ("checkpoint-00000007.ckpt", 7, HEADER)
    assert {name: bytes(blob) for name, blob in blobs.items()} == {
        name: bytes(blob) for name, blob in BLOBS.items()
    }
    assert list(blobs["weights"].cast("d")) == [0.5, -1.0]
    assert os.listdir(tmp_path) == [path.name]


def test_cp_2_layout(tmp_path: Path) -> None:
    path = checkpoint_path(tmp_path, 1)
    write_checkpoint(path, {"a": 1}, {"x": b"123", "y": b"45678901"})
    data = path.read_bytes()
    magic, version, index_bytes = struct.unpack_from("<4sIQ", data)
    index = json.loads(data[16 : 16 + index_bytes])
    assert (magic, version) == (b"HRC\x01", 1)
    assert index == {"header": {"a": 1}, "blobs": [["x", 3], ["y", 8]]}
    start = -(-(16 + index_bytes) // 8) * 8
    assert data[start:-32] == b"123" + bytes(5) + b"45678901"
    assert data[-32:] == hashlib.sha256(data[:-32]).digest()


def test_cp_2_the_same_state_gives_the_same_bytes(tmp_path: Path) -> None:
    for number in (1, 2):
        write_checkpoint(checkpoint_path(tmp_path, number), HEADER, BLOBS)
    assert checkpoint_path(tmp_path, 1).read_bytes() == checkpoint_path(tmp_path, 2).read_bytes()


def test_cp_3_the_name_comes_after_the_bytes_are_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    for name in ("fsync", "replace"):
        real = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *given, name=name, real=real: calls.append(name) or real(*given))
    write_checkpoint(checkpoint_path(tmp_path, 1), HEADER, BLOBS)
    assert calls == ["fsync", "replace", "fsync"]


@pytest.mark.parametrize("name", ["write", "fsync", "replace"])
def test_cp_3_a_failure_leaves_nothing_but_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    path = checkpoint_path(tmp_path, 1)
    write_checkpoint(path, {"old": True}, {})
    with monkeypatch.context() as patched:
        patched.setattr(os, name, refuse)
        with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
            write_checkpoint(path, HEADER, BLOBS)
    assert os.listdir(tmp_path) == [path.name]
    assert read_checkpoint(path).header == {"old": True}


def test_short_writes_are_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", lambda fd, data: real(fd, data[:3]))
        write_checkpoint(checkpoint_path(tmp_path, 1), HEADER, BLOBS)
    assert read_checkpoint(checkpoint_path(tmp_path, 1)).header == HEADER


def test_a_header_that_json_cannot_hold_is_refused(tmp_path: Path) -> None:
    for bad in ({"a": float("nan")}, {"a": b"bytes"}):
        with pytest.raises((ValueError, TypeError)):
            write_checkpoint(checkpoint_path(tmp_path, 1), bad, {})
    assert os.listdir(tmp_path) == []


def test_cp_4_any_changed_byte_and_any_cut_is_found(tmp_path: Path) -> None:
    path = checkpoint_path(tmp_path, 1)
    write_checkpoint(path, HEADER, BLOBS)
    data = path.read_bytes()
    changed = [data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :] for at in range(len(data))]
    cut = [data[:size] for size in range(len(data))]
    for damaged in [*changed, *cut, data + b"\0"]:
        path.write_bytes(damaged)
        with pytest.raises(CheckpointDamaged) as caught:
            read_checkpoint(path)
        assert caught.value.file == str(path)


def test_a_newer_format_and_a_missing_file_are_refused(tmp_path: Path) -> None:
    path = checkpoint_path(tmp_path, 1)
    write_checkpoint(path, HEADER, BLOBS)
    data = bytearray(path.read_bytes())
    data[4] = 2
    path.write_bytes(data)
    with pytest.raises(CheckpointDamaged, match="not what was written"):
        read_checkpoint(path)
    data[-32:] = hashlib.sha256(data[:-32]).digest()
    path.write_bytes(data)
    with pytest.raises(StateMismatch, match=rf"{path}: is in checkpoint format 2; .* reads format 1"):
        read_checkpoint(path)
    with pytest.raises(StateMismatch):
        newest_readable(tmp_path)
    with pytest.raises(CheckpointDamaged, match="can't be read"):
        read_checkpoint(checkpoint_path(tmp_path, 2))
    with pytest.raises(CheckpointDamaged, match="not the name"):
        read_checkpoint(tmp_path / "other")


def test_cp_5_the_newest_readable_one_is_taken(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert newest_readable(tmp_path) is None
    for number in (3, 10, 9):
        write_checkpoint(checkpoint_path(tmp_path, number), {"number": number}, {})
    assert checkpoint_numbers(tmp_path) == [10, 9, 3]
    newest = newest_readable(tmp_path)
    assert newest is not None
    assert (newest.segment, newest.header) == (10, {"number": 10})
    assert not caplog.records
    os.truncate(checkpoint_path(tmp_path, 10), 40)
    second = newest_readable(tmp_path)
    assert second is not None
    assert second.segment == 9
    [warning] = caplog.records
    assert warning.levelno == logging.WARNING
    assert str(checkpoint_path(tmp_path, 10)) in warning.getMessage()
    for number in (3, 9):
        os.truncate(checkpoint_path(tmp_path, number), 0)
    assert newest_readable(tmp_path) is None


def test_cp_6_old_ones_and_leftovers_are_pruned(tmp_path: Path) -> None:
    for number in (1, 2, 3):
        write_checkpoint(checkpoint_path(tmp_path, number), {}, {})
    checkpoint_path(tmp_path, 4).with_suffix(".tmp").write_bytes(b"torn")
    (tmp_path / "journal-00000001.seg").touch()
    assert prune_checkpoints(tmp_path, 2) == [3, 2]
    assert sorted(os.listdir(tmp_path)) == [
        "checkpoint-00000002.ckpt",
        "checkpoint-00000003.ckpt",
        "journal-00000001.seg",
    ]
    with pytest.raises(ValueError, match="at least one"):
        prune_checkpoints(tmp_path, 0)


# ---------------------------------------------------------------- forked


def test_cp_7_the_child_writes_the_state_as_it_was_at_the_fork(tmp_path: Path) -> None:
    writer, state = ForkedWriter(), [1]
    path = checkpoint_path(tmp_path, 1)
    gate, opened = os.pipe()

    def produce() -> tuple[dict[str, list[int]], dict[str, bytes]]:
        os.read(gate, 1)
        return {"state": state}, {}

    stall_seconds = writer.start(path, produce)
    state.append(2)
    assert writer.busy
    assert writer.poll() is None
    with pytest.raises(RuntimeError, match="still being written"):
        writer.start(path, produce)
    os.write(opened, b"x")
    finished = writer.wait()
    assert finished is not None
    assert (finished.path, finished.ok, finished.why) == (path, True, "")
    assert finished.seconds >= finished.stall_seconds == stall_seconds > 0
    assert read_checkpoint(path).header == {"state": [1]}
    assert (writer.busy, writer.poll(), writer.wait()) == (False, None, None)
    os.close(gate)
    os.close(opened)


def test_poll_tells_the_end_once(tmp_path: Path) -> None:
    writer = ForkedWriter()
    for number in (1, 2):
        writer.start(checkpoint_path(tmp_path, number), lambda: (HEADER, BLOBS))
        while (finished := writer.poll()) is None:
            assert writer.busy
            time.sleep(0.001)
        assert finished.ok
        assert writer.poll() is None
    assert checkpoint_numbers(tmp_path) == [2, 1]


def test_a_child_that_fails_says_so(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    writer = ForkedWriter()
    writer.start(checkpoint_path(tmp_path, 1), lambda: ({"bad": float("nan")}, {}))
    finished = writer.wait()
    assert finished is not None
    assert (finished.ok, finished.why) == (False, "the child ended with status 1")
    assert "ValueError" in capfd.readouterr().err
    assert os.listdir(tmp_path) == []


def test_an_abandoned_child_leaves_no_checkpoint(tmp_path: Path) -> None:
    writer = ForkedWriter()
    writer.start(checkpoint_path(tmp_path, 1), lambda: ({"never": time.sleep(600)}, {}))
    finished = writer.abandon()
    assert finished is not None
    assert (finished.ok, finished.why) == (False, f"the child was killed by signal {signal.SIGKILL}")
    assert (checkpoint_numbers(tmp_path), writer.abandon()) == ([], None)


def test_cp_8_a_child_finishes_through_a_drain(tmp_path: Path) -> None:
    writer = ForkedWriter()
    path = checkpoint_path(tmp_path, 1)
    (ready_read, ready), (gate, opened) = os.pipe(), os.pipe()

    def produce() -> tuple[dict[str, int], dict[str, bytes]]:
        os.write(ready, b"x")
        os.read(gate, 1)
        return {}, {}

    writer.start(path, produce)
    os.read(ready_read, 1)
    os.kill(writer._pid, signal.SIGINT)
    os.kill(writer._pid, signal.SIGTERM)
    os.write(opened, b"x")
    finished = writer.wait()
    assert finished is not None
    assert finished.ok
    for fd in (ready_read, ready, gate, opened):
        os.close(fd)


@pytest.mark.parametrize("enabled", [True, False])
def test_the_child_collects_nothing_and_the_parent_goes_on_as_before(tmp_path: Path, enabled: bool) -> None:
    writer, was = ForkedWriter(), gc.isenabled()
    try:
        (gc.enable if enabled else gc.disable)()
        writer.start(checkpoint_path(tmp_path, 1), lambda: ({"collects": gc.isenabled()}, {}))
        assert gc.isenabled() is enabled
    finally:
        (gc.enable if was else gc.disable)()
    writer.wait()
    assert read_checkpoint(checkpoint_path(tmp_path, 1)).header == {"collects": False}


PARENT = """
    import os, sys, time
    from pathlib import Path
    from headrace.journal import checkpoint
    parent = os.getpid()
    def produce():
        print(os.getpid(), flush=True)
        if sys.argv[2] == "told":
            time.sleep(600)
        while os.getppid() == parent:
            time.sleep(0.01)
        print("goes on", flush=True)
        return {}, {}
    writer = checkpoint.ForkedWriter()
    writer._libc = writer._libc if sys.argv[2] == "told" else None
    writer.start(checkpoint.checkpoint_path(Path(sys.argv[1]), 1), produce)
    time.sleep(600)
"""


def start_parent(directory: Path, how: str) -> tuple[subprocess.Popen[str], int]:
    command = [sys.executable, "-c", textwrap.dedent(PARENT), str(directory), how]
    parent = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    return parent, int(parent.stdout.readline())


def kill(parent: subprocess.Popen[str]) -> None:
    parent.kill()
    parent.wait()
    if parent.stdout is not None:
        parent.stdout.close()


def alive(pid: int) -> bool:
    """Whether a process runs; one that nobody has waited for is dead."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's death")
def test_cp_8_a_child_dies_with_its_parent(tmp_path: Path) -> None:
    parent, child = start_parent(tmp_path, "told")
    assert alive(child)
    kill(parent)
    assert eventually(lambda: not alive(child))
    assert checkpoint_numbers(tmp_path) == []


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_cp_8_a_child_that_outlives_its_parent_gives_no_name(tmp_path: Path) -> None:
    parent, child = start_parent(tmp_path, "untold")
    parent.kill()
    assert parent.stdout is not None
    assert parent.stdout.readline() == "goes on\n"  # the child's
    kill(parent)
    assert eventually(lambda: not alive(child))
    assert os.listdir(tmp_path) == []
