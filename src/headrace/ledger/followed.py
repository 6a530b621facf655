"""What the journal has behind a decision's record: what came later, and what consumers have."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any, Final

import orjson

from headrace.errors import JournalDamaged
from headrace.journal.frame_reader import read_frame
from headrace.journal.frames import Frame
from headrace.journal.records import Kind, Record
from headrace.journal.segments import segment_path, start_of
from headrace.ledger.index import Place
from headrace.shard.apply_record import DELIVERED

__all__ = ["delivered_otherwise", "records_behind"]

_BYTES_MAX: Final = 268_435_456
_NOTE_FRAMES_MAX: Final = 64  # it is written in the next turn of the flow


def delivered_otherwise(directory: Path, place: Place, decision_id: str) -> dict[str, Any] | None:
    """Return what consumers have in the place of a decision, if a note soon behind its record says so."""
    for frame in islice(_frames(directory, place.segment, place.position), _NOTE_FRAMES_MAX):
        if frame.head.ordinal_first == frame.head.ordinal_next:
            for record in frame.records:
                note = orjson.loads(record.input) if record.kind == Kind.CONTROL else {}
                if note.get("control") == DELIVERED and note["decision_id"] == decision_id:
                    return dict(note["decision"])
    return None


def records_behind(directory: Path, place: Place) -> Iterator[Record]:
    """All records behind one, as far as they are kept and whole; at most 256 MB of the journal are read."""
    skip, read = place.record + 1, 0
    for frame in _frames(directory, place.segment, place.position):
        yield from frame.records[skip:]
        skip = 0
        read += frame.head.position_next - frame.head.position
        if read > _BYTES_MAX:
            return


def _frames(directory: Path, segment: int, position: int) -> Iterator[Frame]:
    """Frames from a place on; the first one that isn't whole ends them, as a flow may be writing it."""
    with suppress(FileNotFoundError, JournalDamaged):
        while True:
            if position >= segment_path(directory, segment).stat().st_size:
                segment += 1
                position = start_of(directory, segment).byte
                continue
            frame = read_frame(directory, segment, position)
            yield frame
            position = frame.head.position_next
