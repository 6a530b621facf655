"""Copies of a state: taken while its flow runs, and put in place again.

A journal only grows and a checkpoint appears whole, so that a copy of a journal up to the end of a frame,
with a checkpoint that is not younger, is a state as it was then. Each shard is copied by itself; between
shards the marks in the journals say what each has of the sources. Only commands can't be read again: where
some shards have journalled one and others had not yet, the copy ends before it.
"""

from __future__ import annotations

import os
import re
import shutil
import tarfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from io import BytesIO
from pathlib import Path
from typing import IO, Any, Final, NamedTuple, Protocol

import orjson

from headrace import __version__
from headrace.config.private_files import FILE_MODE, make_folder, opener
from headrace.control.inbox import control_folder
from headrace.errors import StateError
from headrace.journal.checkpoint import checkpoint_numbers, checkpoint_path, read_checkpoint
from headrace.journal.disk import fsync_directory
from headrace.journal.erasures import work_files
from headrace.journal.format import FORMAT_VERSION
from headrace.journal.frames import Boundary
from headrace.journal.reader import JournalReader
from headrace.journal.records import CONTROL_SOURCE
from headrace.journal.scan import heads_from, notes_of
from headrace.journal.segments import first_boundary, segment_numbers, segment_path, start_of
from headrace.journal.verify import verify

__all__ = ["MANIFEST", "Copied", "back_up", "restore"]

MANIFEST: Final = "backup.json"
_VERSION: Final = 1
_TRIES: Final = 5
_SHARD: Final = re.compile(r"shard-[0-9]{2,}")
_MEMBER: Final = re.compile(
    r"backup\.json|control/[0-9]{12}\.jsonl"
    r"|shard-[0-9]{2,}/(journal-[0-9]{8}\.seg|checkpoint-[0-9]{8}\.ckpt|eras(ing|ed)-[0-9]{20}\.json)"
)


class Copied(NamedTuple):
    """What a backup holds.

    Attributes
    ----------
    shards
        How many.
    inputs
        Ordinal behind the last input that every shard's copy has reached.
    bytes
        Of all files.
    """

    shards: int
    inputs: int
    bytes: int


class _Part(NamedTuple):
    """One shard as it is copied: its open files with names and lengths, and where its journal ends."""

    name: str
    files: Sequence[tuple[str, IO[bytes], int]]
    end: Boundary


# ---------------------------------------------------------------- taking


def back_up(state: Path, to: Path) -> Copied:
    """Copy a state, whether or not its flow is running.

    Parameters
    ----------
    state
        Its folder.
    to
        A folder to be made, or a file ending in `.tar`. It gets its name when it is complete.

    Raises
    ------
    StateError
        If there is no state, the target exists, or the folder that it would stand in doesn't.
    JournalDamaged, StateMismatch
        If a journal can't be read.
    """
    directories = _shards(state)
    if to.exists():
        raise StateError(f"{to}: exists; a backup overwrites nothing")
    if not to.parent.is_dir():
        raise StateError(f"{to}: there is no folder {to.parent}")
    unnamed = to.with_name(f"{to.name}.partial")
    with ExitStack() as stack:
        parts = _open_parts(directories, stack)
        ends = [part.end for part in parts]
        waiting = _waiting(state, max(map(_taken, ends)))
        manifest = _manifest(parts)
        with _target(to, unnamed) as target:
            for part in parts:
                for name, file, length in part.files:
                    target.add(f"{part.name}/{name}", file, length)
            for name, content in waiting:
                target.add(f"control/{name}", BytesIO(content), len(content))
            target.add(MANIFEST, BytesIO(manifest), len(manifest))
    # Whole and on the disk before it has its name: whatever is called so is a backup.
    os.replace(unnamed, to)
    fsync_directory(to.parent)
    return Copied(len(parts), min(end.ordinal for end in ends), target.size)


def _shards(state: Path) -> list[Path]:
    directories = sorted(path for path in state.glob("shard-*") if _SHARD.fullmatch(path.name))
    if not directories:
        raise StateError(f"{state}: there is no state here")
    return directories


def _ends(directories: Sequence[Path]) -> list[Boundary]:
    """Where the copies of the journals end: at their ends, or before a command that not all have."""
    ends = [_end(directory) for directory in directories]
    reached = min(end.ordinal for end in ends)
    limit = min((ordinal for each in directories for ordinal in _commands_from(each, reached)), default=None)
    if limit is None:
        return ends
    return [_end(directory, limit) for directory in directories]


def _commands_from(directory: Path, ordinal: int) -> Iterator[int]:
    """Ordinals at which commands stand in a journal from an ordinal on."""
    for head in heads_from(directory, ordinal):
        for mark in head.marks:
            if mark.source == CONTROL_SOURCE:
                yield head.ordinal_next - mark.line


def _end(directory: Path, limit: int | None = None) -> Boundary:
    """Return the boundary behind the last frame, or behind the last one before an ordinal."""
    numbers = segment_numbers(directory)
    if not numbers:
        return first_boundary(directory)
    starts = [start_of(directory, number) for number in reversed(numbers)]
    start = next((each for each in starts if limit is None or each.ordinal <= limit), starts[-1])
    reader = JournalReader(directory, start, cut_torn_tail=False)
    end = reader.boundary
    for head in reader.heads():
        if limit is not None and head.ordinal_next > limit:
            break
        end = reader.boundary
    return end


def _taken(end: Boundary) -> int:
    return next((mark.offset for mark in end.marks if mark.source == CONTROL_SOURCE), 0)


def _open_parts(directories: Sequence[Path], stack: ExitStack) -> list[_Part]:
    """Open all shards' files, at a moment at which no erasure takes away what they need.

    Raises
    ------
    StateError
        If there is no such moment.
    """
    for _ in range(_TRIES):
        # Ends first, then files: what is open then reaches at least as far, and the rest of the last segment
        # is left out.
        ends = _ends(directories)
        parts = [_open_part(each, end, stack) for each, end in zip(directories, ends, strict=True)]
        # Looked at once everything is open: an erasure that began before would have left its traces by now.
        if all(_settled(each, part) for each, part in zip(directories, parts, strict=True)):
            return parts
    raise StateError(f"{directories[0].parent}: changes too quickly to be copied; try again")


def _settled(directory: Path, part: _Part) -> bool:
    """Whether no erasure behind the copy's end has begun to take away what the copy needs.

    It deletes the checkpoints first. A copy without any goes back to the journal's beginning, and then there
    must be no such erasure.
    """
    there = checkpoint_numbers(directory)
    usable = {checkpoint_path(directory, number).name for number in there if number <= part.end.segment}
    opened = {name for name, _, _ in part.files if name.startswith("checkpoint-")}
    if opened or opened != usable:
        return opened == usable
    work = [*work_files(directory), *work_files(directory, "erased")]
    behind = any(ordinal >= part.end.ordinal for ordinal, _ in work)
    return not behind and all(note["control"] != "erased" for note in notes_of(directory, part.end))


def _open_part(directory: Path, end: Boundary, stack: ExitStack) -> _Part:
    """Open a shard's files; an open file can't be taken away by a flow that prunes its folder."""
    for left in reversed(range(_TRIES)):
        try:
            paths = list(_paths(directory, end))
            files = [stack.enter_context(open(path, "rb")) for path in paths]  # noqa: SIM115 - the stack's
            break
        except FileNotFoundError:
            if not left:
                raise
    lengths = [os.fstat(file.fileno()).st_size for file in files]
    named = [
        (path.name, file, end.byte if path == segment_path(directory, end.segment) else length)
        for path, file, length in zip(paths, files, lengths, strict=True)
    ]
    return _Part(directory.name, named, end)


def _paths(directory: Path, end: Boundary) -> Iterator[Path]:
    # What is still to be erased is to be erased in the copy too, if its command is in the copy.
    work = [*work_files(directory), *work_files(directory, "erased")]
    yield from (path for ordinal, path in work if ordinal < end.ordinal)
    checkpoints = [number for number in checkpoint_numbers(directory) if number <= end.segment]
    yield from (checkpoint_path(directory, number) for number in checkpoints)
    yield from (
        segment_path(directory, number) for number in segment_numbers(directory) if number <= end.segment
    )


def _waiting(state: Path, taken: int) -> list[tuple[str, bytes]]:
    """Commands that no shard's copy has."""
    found = []
    for path in sorted(control_folder(state).glob("*.jsonl")):
        if _MEMBER.fullmatch(f"control/{path.name}") and int(path.stem) > taken:
            try:
                found.append((path.name, path.read_bytes()))
            except FileNotFoundError:
                continue
    return found


def _manifest(parts: Sequence[_Part]) -> bytes:
    shards = {
        part.name: {
            "segment": part.end.segment,
            "byte": part.end.byte,
            "seq": part.end.seq,
            "ordinal": part.end.ordinal,
            "chain": part.end.chain.hex(),
            "files": {name: length for name, _, length in part.files},
        }
        for part in parts
    }
    manifest = {
        "backup": _VERSION,
        "headrace": __version__,
        "journal_format": FORMAT_VERSION,
        "taken_ms": time.time_ns() // 1_000_000,
        "shards": shards,
    }
    return orjson.dumps(manifest, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


# ---------------------------------------------------------------- where to


class _Target(Protocol):
    size: int

    def add(self, name: str, file: IO[bytes], length: int) -> None: ...


class _Folder:
    def __init__(self, path: Path) -> None:
        self._path, self.size = path, 0
        shutil.rmtree(path, ignore_errors=True)
        make_folder(path)

    def add(self, name: str, file: IO[bytes], length: int) -> None:
        path = self._path / name
        make_folder(path.parent)
        with open(path, "xb", opener=opener) as copy:
            _copy(file, copy, length, name)
            copy.flush()
            os.fsync(copy.fileno())
        self.size += length


class _Tar:
    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar, self.size = tar, 0

    def add(self, name: str, file: IO[bytes], length: int) -> None:
        member = tarfile.TarInfo(name)
        member.size, member.mode, member.mtime = length, FILE_MODE, int(time.time())
        self._tar.addfile(member, file)
        self.size += length


@contextmanager
def _target(to: Path, unnamed: Path) -> Iterator[_Target]:
    """Give the backup another name until it is complete."""
    try:
        if to.suffix == ".tar":
            with open(unnamed, "wb", opener=opener) as file:
                with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
                    yield _Tar(tar)
                file.flush()
                os.fsync(file.fileno())
        else:
            yield _Folder(unnamed)
    except BaseException:
        _remove(unnamed)
        raise


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _copy(file: IO[bytes], copy: IO[bytes], length: int, name: str) -> None:
    left = length
    while left:
        chunk = file.read(min(left, 1 << 20))
        if not chunk:
            raise StateError(f"{name}: became shorter while it was copied")
        copy.write(chunk)
        left -= len(chunk)


# ---------------------------------------------------------------- putting in place


def restore(backup: Path, state: Path) -> Copied:
    """Put a backup in the place of a state that isn't there, after every byte of it was checked.

    Parameters
    ----------
    backup
        A folder or a `.tar` file that `back_up` made.
    state
        The folder to be made, with those above it that are missing; none of them is left if it is refused.

    Raises
    ------
    StateError
        If the state exists, or it is no backup.
    JournalDamaged, CheckpointDamaged, StateMismatch
        If it isn't what was written, or another version's.
    """
    if state.exists() and (not state.is_dir() or any(state.iterdir())):
        raise StateError(f"{state}: exists and isn't empty; a restore overwrites nothing")
    unnamed = state.with_name(f"{state.name}.partial")
    shutil.rmtree(unnamed, ignore_errors=True)
    above = [each for each in state.parents if not each.exists()]
    try:
        make_folder(state.parent)
        _unpack(backup, unnamed)
        # All of it, under another name: a state that is half good must never stand in the place of one.
        copied = _check(unnamed)
        if state.exists():
            state.rmdir()
        os.replace(unnamed, state)
    except BaseException:
        shutil.rmtree(unnamed, ignore_errors=True)
        for each in above:
            with suppress(OSError):
                each.rmdir()
        raise
    for each in (state, *above):
        fsync_directory(each.parent)
    return copied


def _unpack(backup: Path, to: Path) -> None:
    target = _Folder(to)
    try:
        for name, file, length in _members(backup):
            # Names come from whoever made the archive: nothing may be written outside, or into what isn't a
            # state's.
            if not _MEMBER.fullmatch(name):
                raise StateError(f"{backup}: {name}: has no place in a backup")
            target.add(name, file, length)
    except (OSError, tarfile.TarError) as error:
        raise StateError(f"{backup}: can't be read: {error}") from error


def _members(backup: Path) -> Iterator[tuple[str, IO[bytes], int]]:
    if backup.is_dir():
        for path in sorted(path for path in backup.rglob("*") if path.is_file()):
            with open(path, "rb") as file:
                yield path.relative_to(backup).as_posix(), file, path.stat().st_size
        return
    # Never compressed: a small file could unpack to more than the disk holds.
    with tarfile.open(backup, "r:") as tar:
        for member in tar:
            content = tar.extractfile(member)
            if content is None:
                raise StateError(f"{backup}: {member.name}: is no file")
            yield member.name, content, member.size


def _check(state: Path) -> Copied:
    """Check journals and checkpoints against the manifest."""
    manifest = _read_manifest(state)
    directories = _shards(state)
    if sorted(manifest["shards"]) != [directory.name for directory in directories]:
        raise StateError(f"{state}: the backup holds other shards than it says")
    ends = [_check_shard(directory, manifest["shards"][directory.name]) for directory in directories]
    held = sum(path.stat().st_size for path in state.rglob("*") if path.is_file())
    (state / MANIFEST).unlink()
    return Copied(len(ends), min(end.ordinal for end in ends), held)


def _read_manifest(state: Path) -> dict[str, Any]:
    try:
        manifest: dict[str, Any] = orjson.loads((state / MANIFEST).read_bytes())
    except (OSError, orjson.JSONDecodeError) as error:
        raise StateError(f"{state}: is no backup, or not all of one: {MANIFEST}: {error}") from error
    if manifest.get("backup") != _VERSION:
        raise StateError(f"{state}: backup version {manifest.get('backup')}; this program reads {_VERSION}")
    return manifest


def _check_shard(directory: Path, said: dict[str, Any]) -> Boundary:
    files = {path.name: path.stat().st_size for path in directory.iterdir()}
    if files != said["files"]:
        raise StateError(f"{directory}: the backup holds other files than it says")
    verified = verify(directory)
    if verified.torn is not None:
        raise StateError(f"{verified.torn}")
    if verified.end.chain.hex() != said["chain"] or verified.end.ordinal != said["ordinal"]:
        raise StateError(f"{directory}: the journal doesn't end where the backup says")
    for number in checkpoint_numbers(directory):
        read_checkpoint(checkpoint_path(directory, number))
    return verified.end
