"""Frames of a journal, one for each batch, and the boundaries between them."""

from __future__ import annotations

from typing import Final, NamedTuple

from headrace.journal.batches import Mark
from headrace.journal.format import FRAME_HEAD, MARK
from headrace.journal.records import Record

__all__ = ["GENESIS", "Boundary", "Frame", "FrameHead", "TornTail"]


class Boundary(NamedTuple):
    """A place between two frames, with everything that was counted up to there.

    Attributes
    ----------
    segment, byte
        Number of the segment and position in its file; byte 0 stands before the segment's head.
    seq
        Sequence number of the next record.
    ordinal
        Lowest ordinal that the next frame may start with.
    decisions_bytes, dead_letters_bytes
        Lengths of all decisions and dead letters so far.
    chain
        Value of the hash chain, 32 bytes.
    marks
        How far every source was read, by its number.
    """

    segment: int
    byte: int
    seq: int
    ordinal: int
    decisions_bytes: int
    dead_letters_bytes: int
    chain: bytes
    marks: tuple[Mark, ...]


GENESIS: Final = Boundary(1, 0, 0, 0, 0, 0, bytes(32), ())


class FrameHead(NamedTuple):
    """What can be known of a frame without its records.

    Attributes
    ----------
    segment, position
        Number of the segment, and the byte in its file at which the frame starts.
    records
        How many there are.
    body_bytes
        Their length in the file.
    seq
        Sequence number of the first record.
    ordinal_first, ordinal_next
        Ordinals of the first line of the batch, and of the first line after it.
    accepted_ms
        Wall clock when the batch was read, milliseconds since the epoch.
    committed_ms
        The same just before the frame was written.
    decisions_bytes, decisions_bytes_next, dead_letters_bytes, dead_letters_bytes_next
        Lengths of all decisions and dead letters before the frame and after it.
    content
        SHA-256 over the frame's fields, marks, record heads and the digests of their payloads.
    chain
        Value of the hash chain after the frame.
    marks
        How far the sources that moved were read when the batch was complete.
    """

    segment: int
    position: int
    records: int
    body_bytes: int
    seq: int
    ordinal_first: int
    ordinal_next: int
    accepted_ms: int
    committed_ms: int
    decisions_bytes: int
    decisions_bytes_next: int
    dead_letters_bytes: int
    dead_letters_bytes_next: int
    content: bytes
    chain: bytes
    marks: tuple[Mark, ...]

    @property
    def counted(self) -> tuple[int, ...]:
        """The fields from `seq` to `dead_letters_bytes_next`, in the order of the file."""
        return self[4:13]

    @property
    def position_next(self) -> int:
        """The byte after the frame."""
        return self.position + FRAME_HEAD.size + len(self.marks) * MARK.size + self.body_bytes


class Frame(NamedTuple):
    """The records of one batch, with the head they were written under."""

    head: FrameHead
    records: list[Record]


class TornTail(NamedTuple):
    """What an interrupted write left at the end of the last segment."""

    file: str
    byte: int
    bytes_left: int
    why: str

    def __str__(self) -> str:
        return f"{self.file}: byte {self.byte}: {self.bytes_left} bytes of an interrupted write ({self.why})"
