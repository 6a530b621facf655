"""The outcomes of a shard's journal, as columns beside the decisions that they are about."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from headrace.journal.frames import Boundary, FrameHead
from headrace.journal.reader import JournalReader
from headrace.journal.records import Kind, Record
from headrace.journal.segments import first_boundary
from headrace.ledger.export_columns import Values
from headrace.ledger.keys import about_key
from headrace.operators.events.contract import Outcome
from headrace.operators.events.decode import decode_one

__all__ = ["Outcomes", "Progress", "tell"]


_APPLIED: Final = int(Kind.APPLIED)
Progress = Callable[[int, int], None]


class Outcomes:
    """The outcomes of one shard's journal, 24 bytes each, to be found by the event that they are about."""

    def __init__(self, directory: Path, progress: Progress | None) -> None:
        keys, labels, times = array("Q"), array("b"), array("q")
        reader = JournalReader(directory, first_boundary(directory), cut_torn_tail=False)
        for frame in reader.frames():
            for record in frame.records:
                outcome = _outcome(record) if record.kind == _APPLIED else None
                if outcome is not None:
                    keys.append(about_key(outcome.about))
                    labels.append(outcome.label)
                    times.append(outcome.event_time)
            tell(progress, frame.head)
        self.end: Boundary = reader.boundary
        # Stable, so that of several outcomes about an event the last one in the journal stands last.
        order = np.argsort(np.array(keys, dtype=np.uint64), kind="stable")
        self._keys = np.array(keys, dtype=np.uint64)[order]
        self._labels = np.array(labels, dtype=np.int8)[order]
        self._times = np.array(times, dtype=np.int64)[order]

    def of(self, event_ids: Sequence[str]) -> dict[str, Values]:
        """Return the outcome columns of some events."""
        wanted = np.fromiter(map(about_key, event_ids), dtype=np.uint64, count=len(event_ids))
        first = np.searchsorted(self._keys, wanted, side="left")
        counts = np.searchsorted(self._keys, wanted, side="right") - first
        last = (first + counts - 1).tolist()
        return {
            "label": _where(counts, self._labels, last),
            "outcome_time": _where(counts, self._times, last),
            "outcomes": counts,
        }


def _where(counts: Any, values: Any, places: list[int]) -> list[int | None]:
    return [int(values[at]) if count else None for at, count in zip(places, counts.tolist(), strict=True)]


def _outcome(record: Record) -> Outcome | None:
    # A search for bytes passes over most records without decoding them.
    if b"outcome" not in record.input:
        return None
    event = decode_one(record.input, len(record.input))
    return event if isinstance(event, Outcome) else None


def tell(progress: Progress | None, head: FrameHead) -> None:
    """Say that a frame was read, of how many bytes and records."""
    if progress is not None:
        progress(head.position_next - head.position, head.records)
