"""Segments of a journal: their files, found by number, and the heads that they begin with."""

from __future__ import annotations

import os
import re
import zlib
from pathlib import Path
from typing import BinaryIO, Final

from headrace.config.private_files import open_file
from headrace.errors import JournalDamaged, StateMismatch
from headrace.journal.disk import fsync_directory, name_file, write_all
from headrace.journal.format import (
    FORMAT_VERSION,
    GUARDED,
    MARK,
    SEGMENT_HEAD,
    SEGMENT_MAGIC,
    pack_marks,
    unpack_marks,
)
from headrace.journal.frames import GENESIS, Boundary
from headrace.journal.keys import KEYED

__all__ = [
    "SEGMENTS_MAX",
    "create_segment",
    "first_boundary",
    "index_path",
    "is_keyed",
    "pack_segment_head",
    "read_segment_head",
    "segment_numbers",
    "segment_path",
    "start_of",
]

_SEGMENT_NAME: Final = re.compile(r"journal-([0-9]{8})\.seg")
SEGMENTS_MAX: Final = 99_999_999


def index_path(directory: Path, segment: int) -> Path:
    """Name the index of a segment."""
    return directory / f"index-{segment:08d}.idx"


def segment_path(directory: Path, segment: int) -> Path:
    """Name the file of a segment."""
    return directory / f"journal-{segment:08d}.seg"


def segment_numbers(directory: Path) -> list[int]:
    """List the segments that are there, oldest first.

    Raises
    ------
    JournalDamaged
        If one between the first and the last is missing.
    """
    matches = map(_SEGMENT_NAME.fullmatch, os.listdir(directory))
    found = sorted(int(match[1]) for match in matches if match)
    for expected, number in enumerate(found, start=found[0] if found else 0):
        if number != expected:
            raise JournalDamaged(segment_path(directory, expected), 0, "this segment is missing")
    return found


def pack_segment_head(boundary: Boundary, flag: int) -> bytes:
    """Lay out the head of a segment that begins at a boundary; `flag` says whether its chain is keyed."""
    head = SEGMENT_HEAD.pack(
        SEGMENT_MAGIC,
        0,
        FORMAT_VERSION | flag,
        boundary.segment,
        len(boundary.marks),
        boundary.seq,
        boundary.ordinal,
        boundary.decisions_bytes,
        boundary.dead_letters_bytes,
        boundary.chain,
    )
    guarded = head[GUARDED.size :] + pack_marks(boundary.marks)
    return GUARDED.pack(SEGMENT_MAGIC, zlib.crc32(guarded)) + guarded


def create_segment(directory: Path, head: bytes, segment: int, *, fsync: bool) -> int:
    """Make a segment, which has its name only when its head is complete (J-SEG-2); return its descriptor."""
    path = segment_path(directory, segment)
    unnamed = path.with_suffix(".tmp")
    # Under another name until its head is complete: so an incomplete head under the name is damage, never a
    # crash.
    fd = open_file(unnamed, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND)
    try:
        write_all(fd, head)
        if fsync:
            os.fsync(fd)
        os.replace(unnamed, path)
        if fsync:
            fsync_directory(directory)
    except BaseException as error:
        name_file(error, path)
        os.close(fd)
        unnamed.unlink(missing_ok=True)
        # It may have its name already, if only the folder couldn't be synced. The writer stays in the old
        # segment then, and a second end would read as damage.
        path.unlink(missing_ok=True)
        raise
    return fd


def _checked_head(file: BinaryIO, path: Path) -> tuple[int, int, list[int], bytes, bytes]:
    """Version, number, counts, chain and packed marks of the head at the start of a segment."""
    raw = file.read(SEGMENT_HEAD.size)
    if len(raw) < SEGMENT_HEAD.size:
        raise JournalDamaged(path, 0, f"a segment's head has {SEGMENT_HEAD.size} bytes, here are {len(raw)}")
    magic, crc, version, number, marks, *counted, chain = SEGMENT_HEAD.unpack(raw)
    if magic != SEGMENT_MAGIC:
        raise JournalDamaged(path, 0, "not the start of a journal segment")
    # The count is not to be trusted before the checksum, which covers what it counts.
    fits = len(raw) + marks * MARK.size <= os.fstat(file.fileno()).st_size
    packed = file.read(marks * MARK.size) if fits else b""
    if not fits or zlib.crc32(raw[GUARDED.size :] + packed) != crc:
        raise JournalDamaged(path, 0, "the segment's head doesn't fit its checksum")
    return version, number, counted, chain, packed


def read_segment_head(file: BinaryIO, path: Path, segment: int) -> Boundary:
    """Read the head at the start of a segment; it is never torn (J-SEG-2)."""
    version, number, counted, chain, packed = _checked_head(file, path)
    if version & ~KEYED != FORMAT_VERSION:
        raise StateMismatch([_other_version(path, version)])
    # The checksum can't see that a whole file has another one's name.
    if number != segment:
        raise JournalDamaged(path, 12, f"this is segment {number} under the name of segment {segment}")
    start = SEGMENT_HEAD.size + len(packed)
    return Boundary._make((number, start, *counted, chain, unpack_marks(packed)))


def is_keyed(path: Path) -> bool:
    """Whether the chain of a segment's frames is keyed; a damaged head must not pass for a keyed one."""
    with open(path, "rb") as file:
        version, *_ = _checked_head(file, path)
    return bool(version & KEYED)


def _other_version(path: Path, version: int) -> str:
    return (
        f"{path}: is in journal format {version}; this program reads format {FORMAT_VERSION}:"
        " go on with the version of Headrace that wrote it, or begin a new state"
    )


def start_of(directory: Path, segment: int) -> Boundary:
    """Tell the boundary before a segment's first frame.

    Raises
    ------
    JournalDamaged
        If there is no such segment, or its head is not what was written.
    StateMismatch
        If another version of the format was written there.
    """
    path = segment_path(directory, segment)
    try:
        with open(path, "rb") as file:
            return read_segment_head(file, path, segment)
    except FileNotFoundError:
        raise JournalDamaged(path, 0, "this segment is missing") from None


def first_boundary(directory: Path) -> Boundary:
    """Tell the boundary before the oldest frame that is kept; `GENESIS` if there is no segment."""
    numbers = segment_numbers(directory)
    return start_of(directory, numbers[0]) if numbers else GENESIS
