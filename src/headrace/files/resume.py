"""Where a run takes its shards, sources and outputs up again, as their journals say.

A run goes on at the last boundary that every shard has reached. What the outputs lack up to there is written
again from the journals; what some shards have journalled behind it comes again from the sources, and those
shards give out what they recorded.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from heapq import merge
from itertools import islice
from operator import itemgetter
from pathlib import Path
from typing import Final

from headrace.config.private_files import make_folder
from headrace.errors import StateError
from headrace.files.file_bytes import STANDARD, is_stream
from headrace.files.output_file import OutputFile
from headrace.files.sources import source_path
from headrace.journal.batches import Mark
from headrace.journal.reader import JournalReader
from headrace.journal.records import CONTROL_SOURCE, Kind
from headrace.journal.scan import heads_from, outputs_between, records_from
from headrace.journal.segments import segment_numbers, start_of
from headrace.shard.durable import DurableShard
from headrace.shard.recovery_point import (
    UNBOUNDED,
    Journalled,
    Lengths,
    RecoveryPoint,
    Start,
    find_recovery_point,
)

__all__ = [
    "commands_again",
    "directories_of",
    "level_pipes",
    "make_state",
    "mend",
    "names_of",
    "went_on_at",
    "written_up_to",
]

_log = logging.getLogger(__name__)
_LINES_AT_ONCE: Final = 1024


def make_state(state: Path) -> None:
    """Make a state's folder where there is none.

    Raises
    ------
    StateError
        If it can't be made.
    """
    try:
        make_folder(state)
    except FileExistsError as error:
        raise StateError(f"{state}: is a file; a state is a folder") from error
    except OSError as error:
        raise StateError(f"{state}: can't be made: {error.strerror}") from error


def directories_of(shards: Sequence[DurableShard]) -> list[Path]:
    """Directories of the shards; none of temporary ones."""
    return [shard.directory for shard in shards if shard.directory is not None]


def names_of(shards: Sequence[DurableShard]) -> dict[int, str]:
    """Names of the sources that the shards know, by number."""
    names: dict[int, str] = {}
    for shard in shards:
        names |= shard.sources.names
    return names


def level_pipes(shards: Sequence[DurableShard]) -> None:
    """Give up what only some shards have of a pipe, after a kill: it can't be read again.

    Without that, what comes through the pipe next would be taken for what is missing.
    """
    positions = [shard.position for shard in shards]
    first, end = min(positions), max(positions)
    if first == end:
        return
    names, numbers = names_of(shards), set[int]()
    # A batch is journalled by one shard after the other; a kill in between leaves some ahead. Files are read
    # again from the least of them, and those ahead give out what they have recorded.
    for shard in shards:
        if shard.directory is not None and shard.position > first:
            numbers |= {record.source for record in records_from(shard.directory, first)}
    # Commands have a number and no name: their files are there again.
    known = {names[number] for number in numbers if number in names}
    streams = sorted(name for name in known if is_stream(source_path(name)))
    if streams:
        _log.warning(
            "%s can't be read again: of inputs %d to %d, what not every shard had is lost",
            ", ".join("standard input" if name == STANDARD else name for name in streams),
            first,
            end - 1,
        )
        for shard in shards:
            shard.level(end)


def went_on_at(shards: Sequence[DurableShard]) -> RecoveryPoint:
    """Return the last boundary that every shard has reached.

    Raises
    ------
    StateError
        If the journals that are kept have none.
    """
    found = _last_within(shards, UNBOUNDED)
    if found is None:
        raise StateError("the shards' journals have no place in common")
    return found


def written_up_to(shards: Sequence[DurableShard], outputs: Sequence[OutputFile]) -> RecoveryPoint:
    """Return the last boundary up to which the outputs are as the journals say.

    Raises
    ------
    StateError
        If they are shorter than where the journals begin.
    """
    lengths = [
        output.length if output.regular else most for output, most in zip(outputs, UNBOUNDED, strict=True)
    ]
    found = _last_within(shards, Lengths(*lengths))
    if found is None:
        paths = ", ".join(output.path for output in outputs)
        raise StateError(
            f"{paths}: shorter than where the kept journal begins;"
            " name the files that the state was written with"
        )
    return found


def _last_within(shards: Sequence[DurableShard], written: Lengths) -> RecoveryPoint | None:
    if any(shard.directory is None for shard in shards):
        return RecoveryPoint(0, Lengths(0, 0), {})
    # The newest segments have the boundary nearly always. Only where one shard is far behind, or an output is
    # short, are older ones read, one more of each shard at a time.
    segments_back = 0
    directories = directories_of(shards)
    segments = [segment_numbers(directory) for directory in directories]
    while True:
        found = [
            _journalled(directory, numbers[max(-1 - segments_back, -len(numbers))])
            for directory, numbers in zip(directories, segments, strict=True)
        ]
        recovery_point = find_recovery_point(found, written)
        segments_back += 1
        if recovery_point is not None or segments_back >= max(map(len, segments)):
            return recovery_point


def _journalled(directory: Path, segment: int) -> Journalled:
    """Return what a shard's journal says of its frames from a segment on."""
    start = start_of(directory, segment)
    reader = JournalReader(directory, start, cut_torn_tail=False)
    heads, end = list(reader.heads()), reader.boundary
    lengths = Lengths(end.decisions_bytes, end.dead_letters_bytes)
    return Journalled(Start(start.ordinal, start.marks), heads, end.ordinal, lengths)


def commands_again(shards: Sequence[DurableShard], ordinal: int) -> dict[int, Mark]:
    """Return the control channel's marks that shards have from an ordinal on, by where batches begin."""
    again = {}
    for shard in shards:
        if shard.directory is not None and shard.position > ordinal:
            for head in heads_from(shard.directory, ordinal):
                for mark in head.marks:
                    if mark.source == CONTROL_SOURCE:
                        again[head.ordinal_next - mark.line] = mark
    return again


def mend(
    shards: Sequence[DurableShard],
    outputs: tuple[OutputFile, OutputFile],
    kept: RecoveryPoint,
    end: RecoveryPoint,
) -> None:
    """Cut the outputs to one boundary, and write what the journals have from there to another one.

    Parameters
    ----------
    shards
        All of them.
    outputs
        Decisions and dead letters.
    kept
        Up to where the outputs are right.
    end
        Where the run goes on.

    Raises
    ------
    StateError
        If the outputs don't come out as long as the journals say.
    """
    for output, length in zip(outputs, kept.lengths, strict=True):
        if output.regular:
            output.resume(length)
    if kept.ordinal == end.ordinal:
        return
    directories = directories_of(shards)
    recorded = [outputs_between(directory, kept.ordinal, end.ordinal) for directory in directories]
    lines = merge(*recorded, key=itemgetter(0))
    while some := list(islice(lines, _LINES_AT_ONCE)):
        for output, kind in zip(outputs, (Kind.DECIDED, Kind.DEAD), strict=True):
            if output.regular:
                output.write([line for _, of_kind, line in some if of_kind is kind])
    for output, length in zip(outputs, end.lengths, strict=True):
        # Checked once more at the end: what was written came from records, the length from frame heads, and
        # the two must agree.
        if output.regular and output.length != length:
            raise StateError(f"{output.path}: has {output.length} bytes, the journals say {length}")
