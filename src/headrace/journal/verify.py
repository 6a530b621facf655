"""Verifies a whole journal, byte by byte."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from headrace.journal.frames import Boundary, TornTail
from headrace.journal.reader import JournalReader
from headrace.journal.segments import first_boundary, segment_numbers

__all__ = ["Verified", "verify"]


@dataclass(slots=True)
class Verified:
    """What a complete walk through a journal has counted; `torn` is what was not counted."""

    end: Boundary
    segments: int = 0
    frames: int = 0
    records: int = 0
    erased: int = 0
    kinds: Counter[int] = field(default_factory=Counter)
    torn: TornTail | None = None


def verify(directory: Path) -> Verified:
    """Walk through all that is kept of a journal, check every byte, and count.

    Raises
    ------
    JournalDamaged
        At the first byte that isn't what was written.
    """
    numbers = segment_numbers(directory)
    reader = JournalReader(directory, first_boundary(directory), cut_torn_tail=False)
    counted = Verified(reader.boundary, segments=len(numbers))
    for frame in reader.frames():
        counted.frames += 1
        counted.records += len(frame.records)
        counted.erased += sum(record.erased for record in frame.records)
        counted.kinds.update(record.kind for record in frame.records)
    counted.end, counted.torn = reader.boundary, reader.torn
    return counted
