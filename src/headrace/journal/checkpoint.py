"""Checkpoints: a shard's whole state in one file, so that recovery needs only the journal's end.

A checkpoint named for segment N holds the state before the first frame of segment N. The format is specified
in docs/specs/journal.md, beside the journal that it abridges (clauses CP-...).
"""

from __future__ import annotations

import ctypes
import gc
import json
import logging
import os
import re
import signal
import struct
import sys
import time
import traceback
import warnings
from array import array
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, NoReturn, TypeAlias

from headrace.config.printable import printable_lines
from headrace.config.private_files import open_file
from headrace.errors import CheckpointDamaged, StateMismatch
from headrace.journal.disk import fsync_directory, write_all
from headrace.journal.keys import KEYED, Digest, configured_keys

__all__ = [
    "Blob",
    "Checkpoint",
    "Finished",
    "ForkedWriter",
    "checkpoint_numbers",
    "checkpoint_path",
    "discard_checkpoints",
    "give_name",
    "newest_readable",
    "prune_checkpoints",
    "read_checkpoint",
    "write_checkpoint",
]

_MAGIC: Final = b"HRC\x01"
_FORMAT_VERSION: Final = 1
_HEAD: Final = struct.Struct("<4sIQ")
_DIGEST_BYTES: Final = 32
# No column has longer items, so that each can be a view of the file's bytes and nothing is copied to align
# it.
_ALIGN_BYTES: Final = 8
_NAME: Final = re.compile(r"checkpoint-([0-9]{8})\.(ckpt|tmp)")
_PR_SET_PDEATHSIG: Final = 1

_log = logging.getLogger(__name__)

Blob: TypeAlias = "bytes | bytearray | memoryview | array[Any]"
State: TypeAlias = "tuple[Mapping[str, Any], Mapping[str, Blob]]"


class Checkpoint(NamedTuple):
    """A checkpoint as it was read.

    Attributes
    ----------
    segment
        Number of the first segment whose frames are not in it.
    header
        What was given as header, as JSON brings it back.
    blobs
        The named parts, each a read-only view of bytes; a view starts at a multiple of 8 bytes.
    """

    segment: int
    header: dict[str, Any]
    blobs: dict[str, memoryview]


# ---------------------------------------------------------------- files


def checkpoint_path(directory: Path, segment: int) -> Path:
    """Name the checkpoint that goes with a segment."""
    return directory / f"checkpoint-{segment:08d}.ckpt"


def _named(directory: Path, suffix: str) -> list[int]:
    matches = map(_NAME.fullmatch, os.listdir(directory))
    return sorted((int(match[1]) for match in matches if match and match[2] == suffix), reverse=True)


def checkpoint_numbers(directory: Path) -> list[int]:
    """List the segments that a checkpoint is there for, newest first."""
    return _named(directory, "ckpt")


def prune_checkpoints(directory: Path, checkpoints_max: int) -> list[int]:
    """Delete all but the newest checkpoints, and what interrupted writes left; list what is kept.

    Not to be called while a checkpoint is being written.
    """
    if checkpoints_max < 1:
        raise ValueError("at least one checkpoint must be kept")
    for segment in _named(directory, "tmp"):
        checkpoint_path(directory, segment).with_suffix(".tmp").unlink()
    numbers = checkpoint_numbers(directory)
    for segment in numbers[checkpoints_max:]:
        checkpoint_path(directory, segment).unlink()
    return numbers[:checkpoints_max]


def discard_checkpoints(directory: Path, before: int) -> None:
    """Delete all checkpoints of segments before one, and what interrupted writes left of others.

    To be called while no other checkpoint is being written; the one of that segment is there.
    """
    for segment in _named(directory, "tmp"):
        checkpoint_path(directory, segment).with_suffix(".tmp").unlink()
    for segment in checkpoint_numbers(directory):
        if segment < before:
            checkpoint_path(directory, segment).unlink()
    fsync_directory(directory)


# ---------------------------------------------------------------- writing


def _padding(length: int) -> bytes:
    return bytes(-length % _ALIGN_BYTES)


def _bytes_of(blob: Blob) -> memoryview:
    view = memoryview(blob)
    # An empty view with a shape can't be cast.
    return view.cast("B") if view.nbytes else memoryview(b"")


def _parts(header: Mapping[str, Any], blobs: Mapping[str, Blob], flag: int) -> list[bytes | memoryview]:
    """Lay out a checkpoint in the order of the file, apart from the digest (CP-2)."""
    views = {name: _bytes_of(blob) for name, blob in blobs.items()}
    lengths = [[name, len(view)] for name, view in views.items()]
    index = json.dumps({"header": header, "blobs": lengths}, separators=(",", ":"), allow_nan=False).encode()
    parts: list[bytes | memoryview] = [_HEAD.pack(_MAGIC, _FORMAT_VERSION | flag, len(index)), index]
    parts.append(_padding(len(index)))
    for view in views.values():
        parts += view, _padding(len(view))
    return parts


def _write_file(path: Path, parts: Sequence[bytes | memoryview], digest: Digest) -> None:
    fd = open_file(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    try:
        for part in parts:
            digest.update(part)
            write_all(fd, part)
        write_all(fd, digest.digest())
        # Whatever `journal.fsync` says: once it has its name, older checkpoints and segments are deleted for
        # it.
        os.fsync(fd)
    finally:
        os.close(fd)


def give_name(unnamed: Path, path: Path, wanted: Callable[[], bool]) -> None:
    """Give a file its name, unless that is no longer wanted.

    Raises
    ------
    InterruptedError
        If it isn't.
    """
    # Asked as late as can be: a child that has lost its parent may already share the folder with the next
    # run.
    if not wanted():
        raise InterruptedError(f"{path}: no longer wanted")
    os.replace(unnamed, path)


def _always() -> bool:
    return True


def write_checkpoint(
    path: Path,
    header: Mapping[str, Any],
    blobs: Mapping[str, Blob],
    *,
    wanted: Callable[[], bool] = _always,
) -> None:
    """Write a checkpoint that appears under its name only when it is complete and on the disk (CP-3).

    Parameters
    ----------
    path
        As `checkpoint_path` says.
    header
        What JSON can hold; no NaN.
    blobs
        Named parts, of any length; arrays and views must be contiguous.
    wanted
        Asked before the file gets its name; if it says no, none is left.

    Raises
    ------
    OSError
        If the system could not write all of it. Nothing is left under the name, or the old file.
    InterruptedError
        If it was no longer wanted.
    TypeError, ValueError
        If JSON can't hold the header.
    """
    unnamed = path.with_suffix(".tmp")
    keys = configured_keys()
    try:
        _write_file(unnamed, _parts(header, blobs, keys.flag), keys.digest())
        give_name(unnamed, path, wanted)
    except BaseException:
        unnamed.unlink(missing_ok=True)
        raise
    fsync_directory(path.parent)


# ---------------------------------------------------------------- reading


def _segment_of(path: Path) -> int:
    match = _NAME.fullmatch(path.name)
    if not match:
        raise CheckpointDamaged(path, "not the name of a checkpoint")
    return int(match[1])


def _checked(path: Path) -> tuple[memoryview, int]:
    """Read a file whose digest fits, without the digest, and tell the length of its index."""
    try:
        content = memoryview(path.read_bytes())
    except OSError as error:
        raise CheckpointDamaged(path, f"can't be read: {error.strerror}") from error
    if len(content) < _HEAD.size + _DIGEST_BYTES:
        raise CheckpointDamaged(path, f"only {len(content)} bytes long")
    content, digest = content[:-_DIGEST_BYTES], content[-_DIGEST_BYTES:]
    magic, version, index_bytes = _HEAD.unpack_from(content)
    if magic != _MAGIC:
        raise CheckpointDamaged(path, "not a checkpoint")
    keys, keyed = configured_keys(), bool(version & KEYED)
    refusal = keys.refusal(keyed=keyed)
    # Of a plain file it can be told whether it is damaged or only lacks a key; of a keyed one it can't
    # without the key.
    if refusal and (keyed or keys.fits(content, bytes(digest), keyed=False)):
        raise StateMismatch([f"{path}: {refusal}"])
    if not keys.fits(content, bytes(digest), keyed=keyed):
        other = ", or its digest was made with another key" if keyed else ""
        raise CheckpointDamaged(path, f"its bytes are not what was written{other}")
    # After the digest: a flipped bit in the version is damage, and not another format.
    if version & ~KEYED != _FORMAT_VERSION:
        raise StateMismatch(
            [f"{path}: is in checkpoint format {version}; this program reads format {_FORMAT_VERSION}"]
        )
    return content, index_bytes


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint.

    Raises
    ------
    CheckpointDamaged
        If there is none, or it isn't what was written.
    StateMismatch
        If its format is another one.
    """
    segment = _segment_of(path)
    content, index_bytes = _checked(path)
    at = _HEAD.size + index_bytes
    index = json.loads(bytes(content[_HEAD.size : at]))
    blobs: dict[str, memoryview] = {}
    for name, length in index["blobs"]:
        at += -at % _ALIGN_BYTES
        blobs[name] = content[at : at + length]
        at += length
    return Checkpoint(segment, index["header"], blobs)


def newest_readable(directory: Path) -> Checkpoint | None:
    """Read the newest checkpoint that is whole; each one that isn't is named in the log (CP-5).

    Returns
    -------
    Checkpoint or None
        None if there is none, or none is whole: the state is then what the journal's first frame begins with.

    Raises
    ------
    StateMismatch
        If the newest whole one has another format.
    """
    for segment in checkpoint_numbers(directory):
        try:
            return read_checkpoint(checkpoint_path(directory, segment))
        # Only damage is passed over. What another version or key wrote is whole; to recover past it would
        # hide that.
        except CheckpointDamaged as damaged:
            _log.warning("%s: passed over", damaged)
    return None


# ---------------------------------------------------------------- forked


class Finished(NamedTuple):
    """How a forked checkpoint ended.

    Attributes
    ----------
    path
        The checkpoint, there if `ok`.
    ok
        Whether it is complete.
    seconds
        From the fork until its end was noticed.
    stall_seconds
        How long the fork held the parent up.
    why
        What went wrong; empty if `ok`.
    """

    path: Path
    ok: bool
    seconds: float
    stall_seconds: float
    why: str


class ForkedWriter:
    """Writes checkpoints in a forked child, from the state as it was at the fork, while the parent goes on.

    One child at a time. It touches nothing but memory and the checkpoint's file, and does not outlive its
    parent: on Linux the kernel kills it with the thread that forked it, elsewhere it looks before the file
    gets its name. Whoever ends that thread waits for the child first.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = checkpoint_path(pathlib.Path(folder), 7)
    ...     writer = ForkedWriter()
    ...     stall_seconds = writer.start(path, lambda: ({"position": 3}, {"table": b"abc"}))
    ...     writer.wait().ok, read_checkpoint(path).header
    (True, {'position': 3})
    """

    __slots__ = ("_libc", "_path", "_pid", "_stall_seconds", "_started")

    def __init__(self) -> None:
        # Loaded before any fork, because a child of a process with threads must not take the loader's lock.
        self._libc = ctypes.CDLL(None) if sys.platform == "linux" else None
        self._pid = 0
        self._path = Path()
        self._started = self._stall_seconds = 0.0

    @property
    def busy(self) -> bool:
        """Whether a child was started whose end hasn't been told by `poll` or `wait`."""
        return self._pid != 0

    def start(
        self,
        path: Path,
        produce: Callable[[], State],
        then: Callable[[Callable[[], bool]], None] | None = None,
    ) -> float:
        """Fork a child that calls `produce` and writes what it returns.

        Parameters
        ----------
        path
            As `checkpoint_path` says.
        produce
            Returns header and blobs; runs in the child only.
        then
            Called in the child once the checkpoint has its name; given what tells whether the parent lives.

        Returns
        -------
        float
            Seconds that the fork took.

        Raises
        ------
        RuntimeError
            If a child is at work.
        OSError
            If the system can't fork.
        """
        if self._pid:
            raise RuntimeError(f"{self._path} is still being written")
        parent, collecting = os.getpid(), gc.isenabled()
        self._path, self._started = path, time.perf_counter()
        # A collection in the child would write to every object and so copy all of the memory that is shared.
        gc.disable()
        try:
            pid = _fork()
            if not pid:
                self._be_child(parent, produce, then)
        finally:
            if collecting:
                gc.enable()
        self._pid = pid
        self._stall_seconds = time.perf_counter() - self._started
        return self._stall_seconds

    def _be_child(
        self,
        parent: int,
        produce: Callable[[], State],
        then: Callable[[Callable[[], bool]], None] | None,
    ) -> NoReturn:
        # From here on there is one thread, in a copy of memory whose locks are as they were at the fork: so
        # nothing is logged, no lock is taken, and the end is `_exit`, which runs no handler of the parent's.
        status = 1
        try:
            if self._libc is not None:
                # If the parent has died since the fork, this comes too late and no signal follows; `wanted`
                # notices that by the parent's number.
                self._libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            # A drain that is asked for by Ctrl-C or a supervisor must not lose the checkpoint it waits for.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            header, blobs = produce()

            def wanted() -> bool:
                return os.getppid() == parent

            write_checkpoint(self._path, header, blobs, wanted=wanted)
            if then is not None:
                then(wanted)
            status = 0
        except BaseException:  # noqa: BLE001 - the child has no one above to tell
            # Not the logger: one of the parent's threads may have held its lock at the fork.
            os.write(2, printable_lines(traceback.format_exc()).encode())
        finally:
            os._exit(status)

    def poll(self) -> Finished | None:
        """Tell how the child ended, once; None while it is at work or if there is none."""
        return self._reap(os.WNOHANG)

    def wait(self) -> Finished | None:
        """Wait for the child and tell how it ended; None if there is none."""
        return self._reap(0)

    def abandon(self) -> Finished | None:
        """Kill the child and wait for its end; what it had already named stays."""
        if self._pid:
            os.kill(self._pid, signal.SIGKILL)
        return self.wait()

    def _reap(self, options: int) -> Finished | None:
        if not self._pid:
            return None
        try:
            pid, status = os.waitpid(self._pid, options)
        except ChildProcessError:
            return self._finish("its end was taken by someone else who waits for children")
        if not pid:
            return None
        return self._finish(_why(os.waitstatus_to_exitcode(status)))

    def _finish(self, why: str) -> Finished:
        self._pid = 0
        return Finished(self._path, not why, time.perf_counter() - self._started, self._stall_seconds, why)


def _why(exitcode: int) -> str:
    if exitcode < 0:
        return f"the child was killed by signal {-exitcode}"
    return f"the child ended with status {exitcode}" if exitcode else ""


def _fork() -> int:
    with warnings.catch_warnings():
        # Python 3.12 warns that a lock held by another thread stays locked in the child. The child takes
        # none: it packs memory, writes one file by descriptor and leaves by _exit.
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()
