"""Erases records from segments that are complete (J-ERASE in docs/specs/journal.md)."""

from __future__ import annotations

import os
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from headrace.config.private_files import open_file
from headrace.errors import StateError
from headrace.journal.checkpoint import give_name
from headrace.journal.disk import fsync_directory, write_all
from headrace.journal.erased_records import erase_records
from headrace.journal.frame_reader import read_frame
from headrace.journal.frames import FrameHead
from headrace.journal.reader import JournalReader
from headrace.journal.records import Kind
from headrace.journal.segments import index_path, segment_numbers, segment_path, start_of

__all__ = ["erase_segments"]

_COPIED_BYTES: Final = 1 << 20
_UNNAMED: Final = ".erasing"


class _Found(NamedTuple):
    """A frame with records that are meant: their places in it, their ordinals, and whether all are erased."""

    head: FrameHead
    places: list[int]
    ordinals: list[int]
    erased: bool


def erase_segments(
    directory: Path, before: int, ordinals: Sequence[int], wanted: Callable[[], bool]
) -> list[int]:
    """Erase the records of some inputs from all segments before one.

    It may be called again after an interruption, and then finds what is left to do. An index of a segment
    that holds one of these records is removed, as it has digests of the ids.

    Parameters
    ----------
    directory
        The shard's.
    before
        Number of the first segment that is left alone.
    ordinals
        Of the inputs, ascending.
    wanted
        Asked before a segment is replaced.

    Returns
    -------
    list[int]
        Ordinals of those that are erased now; what isn't there any more, or is another shard's, is not among
        them.

    Raises
    ------
    JournalDamaged
        If a segment is not what was written.
    InterruptedError
        If it is no longer wanted.
    OSError
        If a copy can't be written; the segments are then as they were.
    """
    done: list[int] = []
    # Copies that a kill left half-made; nothing refers to them.
    for left in directory.glob(f"*{_UNNAMED}"):
        left.unlink()
    for number in segment_numbers(directory):
        if number < before:
            found = list(_meant(directory, number, ordinals))
            if found:
                _erase(directory, number, [each for each in found if not each.erased], wanted)
            done += [ordinal for each in found for ordinal in each.ordinals]
    return done


def _meant(directory: Path, segment: int, ordinals: Sequence[int]) -> Iterator[_Found]:
    """Frames of a segment that hold any of the inputs; the heads tell which need be read."""
    meant = frozenset(ordinals)
    for head in JournalReader(directory, start_of(directory, segment), cut_torn_tail=False).heads():
        if head.segment != segment:
            return
        # Both ascend, so one search tells whether any of them falls into this frame; only then its records
        # are read.
        at = bisect_left(ordinals, head.ordinal_first)
        if at == len(ordinals) or ordinals[at] >= head.ordinal_next:
            continue
        records = read_frame(directory, segment, head.position).records
        places = [
            place
            for place, record in enumerate(records)
            if record.kind != Kind.CONTROL and record.ordinal in meant
        ]
        if places:
            of_them = [records[place] for place in places]
            erased = all(record.erased for record in of_them)
            yield _Found(head, places, [record.ordinal for record in of_them], erased)


def _erase(directory: Path, segment: int, found: Sequence[_Found], wanted: Callable[[], bool]) -> None:
    index_path(directory, segment).unlink(missing_ok=True)
    if found:
        path = segment_path(directory, segment)
        unnamed = path.with_suffix(_UNNAMED)
        try:
            _copy(path, unnamed, found)
            give_name(unnamed, path, wanted)
        except BaseException:
            unnamed.unlink(missing_ok=True)
            raise
        fsync_directory(directory)
        # A reader may have made an index of the old segment meanwhile.
        index_path(directory, segment).unlink(missing_ok=True)


def _copy(path: Path, unnamed: Path, found: Sequence[_Found]) -> None:
    """Copy a segment, with frames changed (J-ERASE-4)."""
    directory, at = path.parent, 0
    with open(path, "rb") as file:
        fd = open_file(unnamed, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        try:
            for each in found:
                head = each.head
                _copy_bytes(file, fd, head.position - at)
                frame = read_frame(directory, head.segment, head.position)
                written = file.read(head.position_next - head.position)
                write_all(fd, erase_records(frame, written, each.places))
                at = head.position_next
            _copy_bytes(file, fd, os.fstat(file.fileno()).st_size - at)
            os.fsync(fd)
        finally:
            os.close(fd)


def _copy_bytes(file: BinaryIO, fd: int, count: int) -> None:
    while count:
        chunk = file.read(min(count, _COPIED_BYTES))
        if not chunk:
            raise StateError(f"{file.name}: became shorter while it was copied")
        write_all(fd, chunk)
        count -= len(chunk)
