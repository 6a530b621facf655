"""Small ledgers for tests: journals written by hand, and erasure by the letter of the specification."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import orjson

from headrace.journal.frames import Boundary, Frame
from headrace.journal.reader import JournalReader
from headrace.journal.records import ERASED, NO_SOURCE, Kind, Record
from headrace.journal.segments import first_boundary, segment_path
from headrace.journal.writer import JournalWriter

FRAME_HEAD_BYTES, MARK_BYTES, RECORD_HEAD_BYTES, SALT_BYTES = 160, 24, 40, 32


def decided(event_id: str, ordinal: int = 0, detail: bytes = b"") -> Record:
    line = {"type": "payment", "event_id": event_id}
    output = {"decision_id": f"fraud:{event_id}", "event_id": event_id, "event_time": 1_700_000_000_000}
    return Record(
        Kind.DECIDED,
        0,
        0,
        ordinal,
        ordinal * 50,
        ordinal + 1,
        orjson.dumps(line),
        orjson.dumps(output, option=orjson.OPT_APPEND_NEWLINE),
        detail,
    )


def outcome(about: str, label: int = 1, ordinal: int = 0) -> Record:
    line = {
        "type": "outcome",
        "event_id": f"o-{about}-{ordinal}",
        "event_time": 1_700_000_000_000 + ordinal,
        "about": about,
        "label": label,
    }
    return Record(Kind.APPLIED, 0, 0, ordinal, 0, ordinal + 1, orjson.dumps(line), b"", b"")


def note(**said: object) -> Record:
    return Record(Kind.CONTROL, 0, NO_SOURCE, 0, 0, 0, orjson.dumps(said), b"", b"")


def end_of(directory: Path) -> Boundary:
    reader = JournalReader(directory, first_boundary(directory), cut_torn_tail=False)
    for _ in reader.heads():
        pass
    return reader.boundary


class Journal:
    """A journal that grows by frames; each list of records is one."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.writer = JournalWriter(directory, end_of(directory), segment_bytes_max=1 << 30, fsync=False)

    def append(self, *frames: Sequence[Record]) -> Journal:
        for records in frames:
            at = self.writer.end.ordinal
            self.writer.append(
                [record._replace(ordinal=at + place) for place, record in enumerate(records)],
                ordinal_first=at,
                ordinal_next=at + len(records),
                accepted_ms=1_700_000_000_000 + at,
                marks=(),
            )
        return self

    def roll(self) -> Journal:
        self.writer.roll()
        return self

    def frames(self) -> list[Frame]:
        reader = JournalReader(self.directory, first_boundary(self.directory), cut_torn_tail=False)
        return list(reader.frames())


def erase(directory: Path, frame: Frame, place: int) -> None:
    """Erase a record as J-ERASE-1 and J-ERASE-4 say."""
    path = segment_path(directory, frame.head.segment)
    data = bytearray(path.read_bytes())
    outline = frame.head.position + FRAME_HEAD_BYTES + MARK_BYTES * len(frame.head.marks)
    at = outline + RECORD_HEAD_BYTES * len(frame.records)
    for each in frame.records[:place]:
        at += SALT_BYTES + len(each.input) + len(each.output) + len(each.detail)
    end = at + SALT_BYTES + sum(len(part) for part in frame.records[place][6:9])
    data[at : at + SALT_BYTES] = hashlib.sha256(data[at:end]).digest()
    data[at + SALT_BYTES : end] = bytes(end - at - SALT_BYTES)
    data[outline + place * RECORD_HEAD_BYTES + 1] |= ERASED
    copy = path.with_suffix(".tmp")
    copy.write_bytes(data)
    copy.replace(path)


def flip(path: Path, at: int, bits: int = 0xFF) -> None:
    """Change a byte in place."""
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ bits]))
