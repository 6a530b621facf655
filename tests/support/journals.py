"""Journals for tests: some records, frames and segments, and bytes that are changed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from headrace.journal.batches import Mark
from headrace.journal.frames import GENESIS, Boundary, Frame
from headrace.journal.reader import JournalReader
from headrace.journal.records import Kind, Record
from headrace.journal.writer import JournalWriter

SEGMENT_HEAD_BYTES, FRAME_HEAD_BYTES, MARK_BYTES, RECORD_HEAD_BYTES, SALT_BYTES = 84, 160, 24, 40, 32


def record(ordinal: int, kind: Kind = Kind.DECIDED, payload: bytes = b'{"type":"payment"}') -> Record:
    output = b'{"decision_id":"fraud:%d"}\n' % ordinal if kind in (Kind.DECIDED, Kind.DEAD) else b""
    return Record(kind, 0, 2, ordinal, ordinal * 19, ordinal + 1, payload, output, b"\x01\x02" * 4)


def open_writer(directory: Path, end: Boundary = GENESIS, **changed: Any) -> JournalWriter:
    return JournalWriter(directory, end, **{"segment_bytes_max": 1 << 20, "fsync": False} | changed)


def append(writer: JournalWriter, *kinds: Kind, marks: tuple[Mark, ...] | None = None) -> None:
    first = writer.end.ordinal
    records = [record(first + index, kind) for index, kind in enumerate(kinds)]
    after = first + len(kinds)
    moved = (Mark(2, after * 19, after, 77 + after),) if marks is None else marks
    writer.append(
        records,
        ordinal_first=first,
        ordinal_next=after,
        accepted_ms=1_700_000_000_000,
        marks=moved,
        committed_ms=1_700_000_000_007,
    )


def write_segments(directory: Path) -> JournalWriter:
    """Two frames, a new segment, two frames."""
    writer = open_writer(directory)
    for segment in (1, 2):
        append(writer, Kind.DECIDED, Kind.DEAD)
        append(writer, Kind.APPLIED, Kind.DUPLICATE, Kind.CONTROL)
        if segment == 1:
            writer.roll()
    return writer


def read(directory: Path, start: Boundary = GENESIS) -> list[Frame]:
    return list(JournalReader(directory, start, cut_torn_tail=False).frames())


def change(path: Path, at: int, to: Callable[[int], int]) -> None:
    data = bytearray(path.read_bytes())
    data[at] = to(data[at])
    path.write_bytes(data)
