"""What a shard's journal recorded from some input on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson

from headrace.config.addresses import partition_of
from headrace.errors import CheckpointDamaged, JournalDamaged
from headrace.journal.checkpoint import checkpoint_path, read_checkpoint
from headrace.journal.frame_reader import read_frame
from headrace.journal.frames import GENESIS, Boundary, FrameHead
from headrace.journal.reader import JournalReader
from headrace.journal.records import Kind, Record
from headrace.journal.segments import first_boundary, segment_numbers, start_of

__all__ = [
    "counted_apart",
    "heads_from",
    "note_records",
    "notes_of",
    "output_of",
    "outputs_between",
    "records_from",
]


def _start_before(directory: Path, ordinal: int) -> Boundary:
    starts = [start_of(directory, number) for number in segment_numbers(directory)]
    return next((each for each in reversed(starts) if each.ordinal <= ordinal), starts[0])


def heads_from(directory: Path, ordinal: int) -> Iterator[FrameHead]:
    """Heads of the frames that hold what comes from an ordinal on."""
    for head in JournalReader(directory, _start_before(directory, ordinal), cut_torn_tail=False).heads():
        if head.ordinal_next > ordinal:
            yield head


def records_from(directory: Path, ordinal: int) -> Iterator[Record]:
    """Yield records of inputs from an ordinal on; notes of the journal's own are left out."""
    for frame in JournalReader(directory, _start_before(directory, ordinal), cut_torn_tail=False).frames():
        if frame.head.ordinal_next > ordinal:
            for record in frame.records:
                # Frames hold whole batches, so the first one may begin before the ordinal that is asked for.
                if record.ordinal >= ordinal and record.kind != Kind.CONTROL:
                    yield record


def note_records(directory: Path, start: Boundary) -> Iterator[Record]:
    """Yield records of the journal's own notes, such as configurations, from a boundary on.

    They stand alone in frames that cover no input, so that other frames need not be read.
    """
    for head in JournalReader(directory, start, cut_torn_tail=False).heads():
        if head.records and head.ordinal_first == head.ordinal_next:
            for record in read_frame(directory, head.segment, head.position).records:
                if record.kind == Kind.CONTROL:
                    yield record


def notes_of(directory: Path, start: Boundary) -> Iterator[dict[str, Any]]:
    """Yield what the journal's own notes say, from a boundary on."""
    for record in note_records(directory, start):
        yield orjson.loads(record.input)


def counted_apart(directories: Sequence[Path]) -> bool:
    """Whether each shard counts its own inputs, so that ordinals of two shards say nothing of each other.

    So do several shards on topics. A state goes on with the kind of sources that it has begun with; what is
    damaged is passed over.
    """
    for directory in directories if len(directories) > 1 else ():
        with suppress(CheckpointDamaged, JournalDamaged):
            for name in _source_names(directory):
                return partition_of(name) is not None
    return False


def _source_names(directory: Path) -> Iterator[str]:
    start = first_boundary(directory)
    if start.segment > GENESIS.segment:
        header = read_checkpoint(checkpoint_path(directory, start.segment)).header
        yield from header["sources"].values()
    for note in notes_of(directory, start):
        if note["control"] == "source":
            yield note["name"]


def outputs_between(directory: Path, first: int, end: int) -> Iterator[tuple[int, Kind, bytes]]:
    """Ordinals, kinds and lines of what went out for inputs from the first on and before the end."""
    for record in records_from(directory, first):
        if record.ordinal >= end:
            return
        if record.kind in (Kind.DECIDED, Kind.DEAD):
            yield record.ordinal, Kind(record.kind), output_of(record)


def output_of(record: Record) -> bytes:
    """Return the line that went out.

    A blank one of its length if it was erased, as the next stands behind it.
    """
    return b" " * (len(record.output) - 1) + b"\n" if record.erased else record.output
