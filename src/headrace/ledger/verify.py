"""Verifies the ledger: walks the hash chain of every shard, and says where the first broken place is."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from headrace.errors import JournalDamaged
from headrace.journal.checkpoint import checkpoint_numbers, checkpoint_path
from headrace.journal.erasures import noted_ranges
from headrace.journal.frames import Boundary, Frame, TornTail
from headrace.journal.reader import JournalReader
from headrace.journal.records import Kind
from headrace.journal.segments import first_boundary, segment_numbers, segment_path

__all__ = ["ChainFound", "Damage", "VerifiedShard", "journal_bytes", "verify_shard"]

_SETTLE_TRIES: Final = 5
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Damage:
    """The first place of a journal that is not what was written.

    Attributes
    ----------
    file, byte, why
        As the reader says.
    byte_end
        The byte after the damaged frame; None where its head can't be trusted, or it is no frame.
    sequence_first, sequence_last
        Numbers of the frame's records, one of which is broken if not the frame's marks; None likewise.
    """

    file: str
    byte: int
    why: str
    byte_end: int | None = None
    sequence_first: int | None = None
    sequence_last: int | None = None

    def __str__(self) -> str:
        until = f" to {self.byte_end - 1}" if self.byte_end is not None else ""
        records = ""
        if self.sequence_first is not None and self.sequence_last is not None:
            count = self.sequence_last - self.sequence_first + 1
            which = f"record {self.sequence_first}" if count == 1 else f"one of its {count} records"
            last = "" if count == 1 else f", {self.sequence_first} to {self.sequence_last}"
            records = f"; {which}{last}"
        return f"{self.file}: byte {self.byte}{until}: {self.why}{records}"


@dataclass(frozen=True, slots=True)
class ChainFound:
    """Where a chain value occurred: after the record before `sequence`, at a byte of a segment."""

    shard: str
    segment: int
    byte: int
    sequence: int


@dataclass(slots=True)
class VerifiedShard:
    """What a walk through a shard's journal has found.

    Attributes
    ----------
    shard
        Its name.
    segments, frames, records, erased
        How many were gone through; erased records are among the records.
    kinds
        Records by kind.
    chain
        The last value of the hash chain, hexadecimal.
    sequence
        Number of the record that comes next.
    damage
        The first broken place; nothing behind it was looked at.
    torn
        What an interrupted write left at the end.
    expected
        Where the expected chain value occurred.
    first_segment, first_sequence
        Where what is kept begins: 1 and 0, unless segments were deleted from the front.
    unnoted
        How many of the erased records no note of an erasure names. The chain doesn't cover what was erased,
        but it covers the notes.
    """

    shard: str
    segments: int = 0
    frames: int = 0
    records: int = 0
    erased: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    chain: str = bytes(32).hex()
    sequence: int = 0
    damage: Damage | None = None
    torn: TornTail | None = None
    expected: ChainFound | None = None
    first_segment: int = 1
    first_sequence: int = 0
    unnoted: int = 0

    @property
    def whole(self) -> bool:
        """Whether every byte is accounted for."""
        return self.damage is None and self.torn is None


def journal_bytes(directory: Path) -> int:
    """Length of all segments of a shard."""
    return sum(segment_path(directory, number).stat().st_size for number in segment_numbers(directory))


def verify_shard(
    directory: Path,
    *,
    expected_chain: bytes | None = None,
    settle_s: float = 0.2,
    progress: Progress | None = None,
) -> VerifiedShard:
    """Walk through all that is kept of a shard's journal and check every byte.

    Parameters
    ----------
    directory
        The shard's.
    expected_chain
        A chain value that was noted earlier, 32 bytes; the walk looks where it occurred.
    settle_s
        The end may be a frame in the making. It is looked at five times more, so many seconds apart,
        before it is taken for an interrupted write.
    progress
        Told of bytes and records.
    """
    return _Walk(directory, expected_chain, settle_s, progress).run()


class _Walk:
    """One walk through a journal."""

    def __init__(
        self, directory: Path, expected: bytes | None, settle_s: float, progress: Progress | None
    ) -> None:
        self.directory, self.expected = directory, expected
        self.settle_s, self.progress = settle_s, progress
        self.found = VerifiedShard(directory.name)
        self.boundary: Boundary | None = None
        self.first = 1
        self.erased: set[int] = set()
        self.noted: list[tuple[int, int]] = []

    def run(self) -> VerifiedShard:
        """Walk to the end or to the first broken place."""
        try:
            self._walk()
        except JournalDamaged as damaged:
            self.found.damage = _located(self.directory, self.boundary, damaged)
        return self.found

    def _walk(self) -> None:
        start = first_boundary(self.directory)
        self.first = start.segment
        self.found.first_segment, self.found.first_sequence = start.segment, start.seq
        self._expect(start)
        self._frames(start)
        for _ in range(_SETTLE_TRIES):
            if self.found.torn is None or self.boundary is None:
                break
            # What looks torn may be a frame that a running flow is writing; it is whole a moment later, or
            # was cut off.
            time.sleep(self.settle_s)
            self._frames(self.boundary)
        self._see_that_none_is_missing()
        noted = {ordinal for first, last in self.noted for ordinal in range(first, last + 1)}
        self.found.unnoted = len(self.erased - noted)

    def _frames(self, start: Boundary) -> None:
        reader = JournalReader(self.directory, start, cut_torn_tail=False)
        try:
            for frame in reader.frames():
                self._take(frame)
        finally:
            self.boundary = reader.boundary
            self.found.chain, self.found.sequence = self.boundary.chain.hex(), self.boundary.seq
            self.found.segments = self.boundary.segment - self.first + 1 if self.boundary.byte else 0
        self.found.torn = reader.torn

    def _take(self, frame: Frame) -> None:
        found, head = self.found, frame.head
        found.frames += 1
        found.records += head.records
        found.kinds.update(_name(record.kind) for record in frame.records)
        found.erased += sum(record.erased for record in frame.records)
        self.erased |= {record.ordinal for record in frame.records if record.erased}
        if head.ordinal_first == head.ordinal_next:  # notes stand alone
            self.noted += [each for record in frame.records for each in noted_ranges(record)]
        if head.chain == self.expected:
            found.expected = ChainFound(
                found.shard, head.segment, head.position_next, head.seq + head.records
            )
        if self.progress is not None:
            self.progress(head.position_next - head.position, head.records)

    def _expect(self, start: Boundary) -> None:
        if start.chain == self.expected:
            self.found.expected = ChainFound(self.found.shard, start.segment, start.byte, start.seq)

    def _see_that_none_is_missing(self) -> None:
        """See that the segments of which checkpoints tell are there."""
        told = checkpoint_numbers(self.directory)  # first: a running flow makes the segment before
        last = max(segment_numbers(self.directory), default=0)
        beyond = [number for number in told if number > last]
        if beyond:
            why = f"this segment is missing, but there is {checkpoint_path(self.directory, beyond[0]).name}"
            raise JournalDamaged(segment_path(self.directory, last + 1), 0, why)


def _located(directory: Path, before: Boundary | None, damaged: JournalDamaged) -> Damage:
    """Damage with the records of its frame, if the frame's head can be read."""
    plain = Damage(damaged.file, damaged.byte, damaged.why)
    try:
        reader = JournalReader(directory, before, cut_torn_tail=False) if before else None
        head = next(reader.heads(), None) if reader else None
    except JournalDamaged:
        return plain
    named = (str(segment_path(directory, head.segment)), head.position) if head else None
    if head is None or named != (damaged.file, damaged.byte):
        return plain
    sequences = (head.seq, head.seq + head.records - 1) if head.records else (None, None)
    return Damage(damaged.file, damaged.byte, damaged.why, head.position_next, *sequences)


def _name(kind: int) -> str:
    try:
        return Kind(kind).name.lower()
    except ValueError:
        return f"kind {kind}"
