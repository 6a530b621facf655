"""Where sources must be read from again after a stop, and how long the outputs may stay.

The journals of all shards are the only truth. A boundary is a place between two batches, named by the ordinal
of its first line; at each, the journals tell how many bytes of output came before it. The last boundary at
which no output file is shorter than that, and which every shard has reached, is where a run goes on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

from headrace.journal.batches import Mark

__all__ = ["UNBOUNDED", "FrameHead", "Journalled", "Lengths", "RecoveryPoint", "Start", "find_recovery_point"]


class Lengths(NamedTuple):
    """Bytes of output."""

    decisions: int
    dead_letters: int

    def within(self, other: Lengths) -> bool:
        """Whether neither is longer than the other's."""
        return self.decisions <= other.decisions and self.dead_letters <= other.dead_letters


UNBOUNDED: Final = Lengths(1 << 62, 1 << 62)


class FrameHead(Protocol):
    """What is asked of a journal frame."""

    @property
    def ordinal_first(self) -> int:
        """Ordinal of the first line that it may hold."""

    @property
    def ordinal_next(self) -> int:
        """Ordinal behind it."""

    @property
    def decisions_bytes(self) -> int:
        """Bytes of decisions before it."""

    @property
    def dead_letters_bytes(self) -> int:
        """Bytes of dead letters before it."""

    @property
    def marks(self) -> Sequence[Mark]:
        """How far the sources that moved were read."""


@dataclass(frozen=True)
class RecoveryPoint:
    """Where a run goes on.

    Attributes
    ----------
    ordinal
        Of the first line to read.
    lengths
        Of the outputs before it.
    marks
        How far each source was read before it.
    """

    ordinal: int
    lengths: Lengths
    marks: Mapping[int, Mark]


@dataclass(frozen=True)
class Start:
    """Where the frames that were looked at begin: the ordinal, and how far each source was read there."""

    ordinal: int
    marks: Sequence[Mark]


@dataclass(frozen=True)
class Journalled:
    """What one shard's journal says: its frames, its position behind them, its outputs' whole lengths."""

    start: Start
    frames: Sequence[FrameHead]
    position: int
    lengths: Lengths

    def lengths_at(self, ordinal: int) -> Lengths | None:
        """Bytes of this shard's outputs before an ordinal; None for one inside a frame."""
        low, high = 0, len(self.frames)
        while low < high:
            middle = (low + high) // 2
            if self.frames[middle].ordinal_next <= ordinal:
                low = middle + 1
            else:
                high = middle
        if low == len(self.frames):
            return self.lengths
        # Inside a frame nobody knows how many bytes came before an input; batches are whole or not at all.
        if self.frames[low].ordinal_first < ordinal:
            return None
        return Lengths(self.frames[low].decisions_bytes, self.frames[low].dead_letters_bytes)


def find_recovery_point(shards: Sequence[Journalled], written: Lengths) -> RecoveryPoint | None:
    """Return the last boundary that every shard has reached and that the written outputs cover.

    Parameters
    ----------
    shards
        What each shard's journal says.
    written
        Lengths of the output files as found.

    Returns
    -------
    RecoveryPoint | None
        None when there is no such boundary behind the start of every shard's frames.
    """
    reached = min(shard.position for shard in shards)
    boundaries = {reached} | {frame.ordinal_first for shard in shards for frame in shard.frames}
    earliest = max(shard.start.ordinal for shard in shards)
    boundaries.add(earliest)
    for ordinal in sorted((each for each in boundaries if earliest <= each <= reached), reverse=True):
        lengths = _together([shard.lengths_at(ordinal) for shard in shards])
        if lengths is not None and lengths.within(written):
            return RecoveryPoint(ordinal, lengths, _marks_at(shards, ordinal))
    return None


def _together(parts: Iterable[Lengths | None]) -> Lengths | None:
    decisions = dead_letters = 0
    for part in parts:
        if part is None:
            return None
        decisions, dead_letters = decisions + part.decisions, dead_letters + part.dead_letters
    return Lengths(decisions, dead_letters)


def _marks_at(shards: Sequence[Journalled], ordinal: int) -> dict[int, Mark]:
    """Return the furthest mark of each source before the ordinal: a source is only ever read forwards."""
    marks = [mark for shard in shards for mark in shard.start.marks]
    marks += [
        mark
        for shard in shards
        for frame in shard.frames
        if frame.ordinal_next <= ordinal
        for mark in frame.marks
    ]
    return {mark.source: mark for mark in sorted(marks, key=lambda mark: mark.offset)}
