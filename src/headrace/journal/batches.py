"""The unit in which lines travel from a source to a shard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from headrace.journal.passed_headers import PassedHeaders

__all__ = ["Batch", "Mark"]


class Mark(NamedTuple):
    """How far a source was read.

    Attributes
    ----------
    source
        Number of the source, as registered in the state.
    offset
        Bytes consumed, after decompression.
    line
        Lines consumed.
    crc
        CRC-32 of all bytes consumed, to tell on resuming that they are still the same.
    """

    source: int
    offset: int
    line: int
    crc: int


@dataclass(slots=True)
class Batch:
    """Lines that a source handed over in one turn, and where each comes from.

    Attributes
    ----------
    accepted_ms
        Wall clock when the lines were read, milliseconds since the epoch. For latency only.
    accepted_ns
        The same moment on the process's monotonic clock, nanoseconds.
    ordinal
        Place of the first line in the merged order of all sources, over the life of the state.
    payloads
        The lines without their newline.
    sources, offsets, lines
        For each line: number of its source, byte offset of its start there, its 1-based line number.
    marks
        How far each source that moved was read when the batch was complete.
    flags
        For each line what its record is marked with from the start; empty for nothing, as in every batch but
        those of the control channel.
    since_ms
        For each line since when it waits, milliseconds since the epoch, or `waiting.NEVER`; empty where the
        source has no time for it, as files and the control channel.
    headers
        By the place of their line, headers that go on to what comes of it; None for none.
    """

    accepted_ms: int
    accepted_ns: int
    ordinal: int
    payloads: list[bytes]
    sources: list[int]
    offsets: list[int]
    lines: list[int]
    marks: tuple[Mark, ...]
    flags: Sequence[int] = ()
    since_ms: Sequence[int] = ()
    headers: Mapping[int, PassedHeaders] | None = None

    @property
    def ordinal_next(self) -> int:
        """Ordinal of the first line after this batch."""
        return self.ordinal + len(self.payloads)
