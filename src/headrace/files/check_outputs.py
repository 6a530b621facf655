"""Tells whether output files are those that the journals of a state speak of.

A run with a state cuts its outputs where the journals end. That may be done to a file only if its lines are
those that were recorded: the last ones before the place up to which it is long enough, and those behind it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from heapq import merge
from itertools import chain, zip_longest
from operator import attrgetter
from pathlib import Path
from typing import Final

from headrace.errors import StateMismatch
from headrace.files.output_file import OutputFile
from headrace.journal.frame_reader import read_frame
from headrace.journal.frames import Boundary, FrameHead
from headrace.journal.reader import JournalReader
from headrace.journal.records import Kind, Record
from headrace.journal.scan import heads_from
from headrace.journal.segments import segment_numbers, start_of
from headrace.shard.recovery_point import RecoveryPoint

__all__ = ["refuse_foreign"]

_KINDS: Final = (Kind.DECIDED, Kind.DEAD)
_BEHIND_ALL: Final = 1 << 63  # ordinals
_COMPARED_BYTES_MAX: Final = 1 << 20
_REMEDY: Final = "name the file that the state was written with, or move this one away"


def refuse_foreign(
    directories: Sequence[Path], outputs: Sequence[OutputFile], kept: RecoveryPoint, end: RecoveryPoint
) -> None:
    """Refuse output files that hold something else than was recorded, before any of them is cut.

    Parameters
    ----------
    directories
        Of all shards; none for a temporary run, which replaces its outputs.
    outputs
        Decisions and dead letters.
    kept
        Up to where the outputs are right, going by their lengths.
    end
        Where the run goes on.

    Raises
    ------
    StateMismatch
        With every such file.
    """
    found = [
        f"{output.path}: {why}"
        for kind, output, length in zip(_KINDS, outputs, kept.lengths, strict=True)
        if directories and output.regular and output.length
        for why in _foreign(directories, output, kind, kept.ordinal, length, end.ordinal)
    ]
    if found:
        raise StateMismatch(found)


def _foreign(
    directories: Sequence[Path], output: OutputFile, kind: Kind, kept: int, length: int, end: int
) -> Iterator[str]:
    lasts = [_last_before(directory, kept, kind) for directory in directories]
    # From here on every shard's lines are known, so that the interleaved file can be compared; one shard's
    # last frame may lie far before the others'.
    first = max((last for last in lasts if last is not None), default=kept)
    # The file has no index: where the compared lines begin follows from its length and theirs.
    before = list(_recorded(directories, kind, first, kept))
    offset = length - sum(len(record.output) for record in before)
    at, compared = offset, 0
    with open(output.path, "rb") as file:
        file.seek(offset)
        for record in chain(before, _recorded(directories, kind, kept, end)):
            there = file.read(len(record.output))
            # A foreign file differs at once. The bound keeps a start from reading an output again that is far
            # behind.
            if not there or compared > _COMPARED_BYTES_MAX:
                break
            if not record.erased and not record.output.startswith(there):
                yield f"the line at byte {at} is not the one that the state recorded; {_REMEDY}"
                return
            at, compared = at + len(there), compared + len(there)
    if not compared and not length and not _begins_as_recorded(directories, output, kind, kept):
        yield f"holds {output.length} bytes, and the state has written none of them; {_REMEDY}"


def _begins_as_recorded(directories: Sequence[Path], output: OutputFile, kind: Kind, kept: int) -> bool:
    """Whether a file begins with the first line of any shard: one that gets no inputs holds all back."""
    first = next(_recorded(directories, kind, kept, _BEHIND_ALL), None)
    if first is None:
        return False
    with open(output.path, "rb") as file:
        return first.erased or first.output.startswith(file.read(len(first.output)))


def _recorded(directories: Sequence[Path], kind: Kind, first: int, end: int) -> Iterator[Record]:
    """Return records of one kind from all shards, from an ordinal on and before another, in order."""
    return merge(*(_of_one(each, kind, first, end) for each in directories), key=attrgetter("ordinal"))


def _of_one(directory: Path, kind: Kind, first: int, end: int) -> Iterator[Record]:
    if first == end:
        return
    for head in heads_from(directory, first):
        # Heads alone are walked; a frame is read only if this output grew in it.
        if head.ordinal_first >= end:
            return
        if _grew(head, kind):
            for record in read_frame(directory, head.segment, head.position).records:
                if record.kind == kind and first <= record.ordinal < end:
                    yield record


def _last_before(directory: Path, ordinal: int, kind: Kind) -> int | None:
    """First ordinal of the last frame before an ordinal in which an output grew."""
    for start, after in _segments_back(directory):
        if start.ordinal < ordinal and (after is None or _bytes(start, kind) != _bytes(after, kind)):
            last = _last_within(directory, start, ordinal, kind)
            if last is not None:
                return last
    return None


def _segments_back(directory: Path) -> Iterator[tuple[Boundary, Boundary | None]]:
    """Where each segment starts, and where the one after it does; the last segment first."""
    starts = [start_of(directory, number) for number in segment_numbers(directory)]
    yield from reversed(list(zip_longest(starts, starts[1:])))


def _last_within(directory: Path, start: Boundary, ordinal: int, kind: Kind) -> int | None:
    last = None
    for head in JournalReader(directory, start, cut_torn_tail=False).heads():
        if head.segment != start.segment or head.ordinal_next > ordinal:
            break
        if _grew(head, kind):
            last = head.ordinal_first
    return last


def _bytes(boundary: Boundary, kind: Kind) -> int:
    return boundary.decisions_bytes if kind is Kind.DECIDED else boundary.dead_letters_bytes


def _grew(head: FrameHead, kind: Kind) -> bool:
    if kind is Kind.DECIDED:
        return head.decisions_bytes != head.decisions_bytes_next
    return head.dead_letters_bytes != head.dead_letters_bytes_next
