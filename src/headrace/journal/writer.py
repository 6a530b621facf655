"""Appends to a journal: a shard's record of its inputs, in the order in which they were applied."""

from __future__ import annotations

import os
import time
import zlib
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Final

from headrace.errors import JournalDamaged, StateError
from headrace.journal.batches import Mark
from headrace.journal.disk import name_file, write_all
from headrace.journal.format import (
    FRAME_MAGIC,
    GUARDED,
    RECORD_HEAD,
    SALT_BYTES,
    digest_frame,
    pack_fields,
    pack_marks,
)
from headrace.journal.frames import Boundary
from headrace.journal.keys import configured_keys
from headrace.journal.records import WRITTEN_FLAGS, Kind, RecordFields
from headrace.journal.segments import (
    SEGMENTS_MAX,
    create_segment,
    is_keyed,
    pack_segment_head,
    segment_numbers,
    segment_path,
)

__all__ = ["JournalWriter"]

# Comparing with a plain integer is faster than with a member.
_DECIDED: Final = int(Kind.DECIDED)
_DEAD: Final = int(Kind.DEAD)


def _seal(records: Sequence[RecordFields]) -> tuple[bytes, list[bytes], list[bytes], int, int]:
    """Lay out records: their heads, sealed payloads and digests, and how long their outputs are.

    This loop is what journalling costs, therefore all in it is local.
    """
    join, pack, salt_bytes = b"".join, RECORD_HEAD.pack, SALT_BYTES
    # Random bytes are a system call: one for the frame, not one a record. Without a salt, the digest that an
    # erased record leaves could be found by trying inputs.
    salts, at, flags_seen = os.urandom(salt_bytes * len(records)), 0, 0
    decisions_bytes = dead_letters_bytes = 0
    heads: list[bytes] = []
    sealed: list[bytes] = []
    add_head, add_sealed = heads.append, sealed.append
    for kind, flags, source, ordinal, offset, line, received, output, detail in records:
        length = len(output)
        if kind == _DECIDED:
            decisions_bytes += length
        elif kind == _DEAD:
            dead_letters_bytes += length
        flags_seen |= flags
        add_head(pack(kind, flags, source, len(received), length, len(detail), ordinal, offset, line))
        add_sealed(join((salts[at : at + salt_bytes], received, output, detail)))
        at += salt_bytes
    # Looked at once for the whole frame. `ERASED` above all must not be written: it says that a digest stands
    # in the payload's place.
    if flags_seen & ~WRITTEN_FLAGS:
        raise ValueError("a record is written with flags that no writer sets")
    return join(heads), sealed, [sha256(one).digest() for one in sealed], decisions_bytes, dead_letters_bytes


class JournalWriter:
    """Appends frames at the end of a journal.

    One writer at a time may be open on a directory; to see to that is the owner's part, as is calling `roll`
    when `needs_roll` says so, because a checkpoint goes with a new segment.

    Parameters
    ----------
    directory
        The shard's directory; it exists.
    end
        Where the journal ends, as `JournalReader.boundary` says after its last frame, or `GENESIS`.
    segment_bytes_max
        From this length on a segment asks to be followed by a new one.
    fsync
        Whether each frame and each new segment is forced to the disk before it counts.

    Attributes
    ----------
    frames_written, bytes_written
        By this writer.

    Raises
    ------
    JournalDamaged
        If the journal doesn't end at `end`.
    """

    def __init__(self, directory: Path, end: Boundary, *, segment_bytes_max: int, fsync: bool) -> None:
        self._directory = directory
        self._segment_bytes_max = segment_bytes_max
        self._fsync = fsync
        self._refuses = ""
        self.frames_written = self.bytes_written = 0
        self._segment, self._byte = end.segment, end.byte
        self._seq, self._ordinal = end.seq, end.ordinal
        self._decisions_bytes, self._dead_letters_bytes = end.decisions_bytes, end.dead_letters_bytes
        self._chain = end.chain
        self._marks = {mark.source: mark for mark in end.marks}
        self._keys = configured_keys()
        self._fd = self._open(end)
        # A segment's head says once whether its chain is keyed, so a key that comes or goes needs a new
        # segment.
        if is_keyed(segment_path(directory, self._segment)) != bool(self._keys.flag):
            self.roll()  # a key is new

    def _open(self, end: Boundary) -> int:
        numbers = segment_numbers(self._directory)
        last = numbers[-1] if numbers else 0
        path = segment_path(self._directory, end.segment)
        # An empty folder: segments count from 1, `GENESIS` names the first, and no segment at all counts as
        # 0.
        if end.byte == 0 and last == end.segment - 1:
            return self._start_segment(end)
        if last != end.segment:
            raise JournalDamaged(path, end.byte, f"expected as the last segment, but that is {last}")
        self._frames_from = 0
        # `O_APPEND`, so that after a failed write has been cut off the next one starts at the new end,
        # without a seek.
        fd = os.open(path, os.O_WRONLY | os.O_APPEND)
        size = os.fstat(fd).st_size
        # Whoever read the journal has cut a torn tail off by now. What is longer has a second writer, or
        # frames that nobody has checked: appending there would bury them.
        if size != end.byte:
            os.close(fd)
            raise JournalDamaged(path, end.byte, f"expected as the end, but the file has {size} bytes")
        return fd

    def _start_segment(self, start: Boundary) -> int:
        head = pack_segment_head(start, self._keys.flag)
        fd = create_segment(self._directory, head, start.segment, fsync=self._fsync)
        self._segment = start.segment
        self._byte = self._frames_from = len(head)
        return fd

    @property
    def end(self) -> Boundary:
        """Where the next frame will stand."""
        return Boundary(
            self._segment,
            self._byte,
            self._seq,
            self._ordinal,
            self._decisions_bytes,
            self._dead_letters_bytes,
            self._chain,
            tuple(self._marks[source] for source in sorted(self._marks)),
        )

    @property
    def needs_roll(self) -> bool:
        """Whether the segment holds a frame and is as long as it may get."""
        return self._byte >= self._segment_bytes_max and self._byte > self._frames_from

    def append(
        self,
        records: Sequence[RecordFields],
        *,
        ordinal_first: int,
        ordinal_next: int,
        accepted_ms: int,
        marks: Sequence[Mark],
        committed_ms: int | None = None,
    ) -> int:
        """Write one frame with one write.

        Parameters
        ----------
        records
            `Record`, or plain tuples of the same fields, in the order in which they were applied.
        ordinal_first, ordinal_next
            The ordinals that the batch covers, whether or not each has a record here.
        accepted_ms
            Wall clock when the batch was read, milliseconds since the epoch.
        marks
            How far the sources that moved were read when the batch was complete.
        committed_ms
            Wall clock of the writing, milliseconds since the epoch; None for the present one.

        Returns
        -------
        int
            Bytes written.

        Raises
        ------
        OSError
            If the system could not write all of it. The journal is then as it was before, and the same frame
            may be tried again, except after a failed fsync.
        ValueError
            If ordinals run backwards, a record has a flag that isn't a writer's, or the frame is longer than
            the format allows.
        struct.error
            If a number is out of its field's range. Nothing was written.
        StateError
            If an earlier failure has left the end of the file uncertain.
        """
        if self._refuses:
            raise StateError(f"{self._directory}: {self._refuses}")
        # Equal ones are in order: the journal's own notes stand in frames that cover no input.
        if not self._ordinal <= ordinal_first <= ordinal_next:
            raise ValueError(f"ordinals run backwards: {self._ordinal}, {ordinal_first}, {ordinal_next}")
        outline, sealed, digests, decisions_bytes, dead_letters_bytes = _seal(records)
        packed_marks = pack_marks(marks)
        decisions_next = self._decisions_bytes + decisions_bytes
        dead_letters_next = self._dead_letters_bytes + dead_letters_bytes
        fields = pack_fields(
            len(outline) + sum(map(len, sealed)),
            packed_marks,
            len(records),
            (
                self._seq,
                ordinal_first,
                ordinal_next,
                accepted_ms,
                time.time_ns() // 1_000_000 if committed_ms is None else committed_ms,
                self._decisions_bytes,
                decisions_next,
                self._dead_letters_bytes,
                dead_letters_next,
            ),
        )
        # The chain runs over digests of the records, not over their bytes: a record can be erased later, its
        # digest stays, and the chain still verifies.
        content = digest_frame(fields, packed_marks, outline, digests)
        chain = self._keys.link(self._chain, content)
        guarded = fields + content + chain
        # The checksum is of the head alone: a reader that only steps over frames needs no body to trust it.
        guard = GUARDED.pack(FRAME_MAGIC, zlib.crc32(guarded))
        frame = b"".join((guard, guarded, packed_marks, outline, *sealed))
        self._write(frame)
        # Nothing of this object has changed until the frame is written, so that it may be tried again.
        self._byte += len(frame)
        self.frames_written += 1
        self.bytes_written += len(frame)
        self._seq += len(records)
        self._ordinal, self._chain = ordinal_next, chain
        self._decisions_bytes, self._dead_letters_bytes = decisions_next, dead_letters_next
        for mark in marks:
            self._marks[mark.source] = mark
        return len(frame)

    def _write(self, frame: bytes) -> None:
        try:
            write_all(self._fd, frame)
            if self._fsync:
                self._force()
        # Also for an interrupt: whatever ends a write halfway leaves bytes that the next frame must not stand
        # behind.
        except BaseException as error:
            name_file(error, segment_path(self._directory, self._segment))
            self._take_back()
            raise

    def _force(self) -> None:
        # After a failed fsync the kernel may have dropped the pages and call the next fsync a success.
        self._refuses = "the journal can't be written on after a failed fsync"
        os.fsync(self._fd)
        self._refuses = ""

    def _take_back(self) -> None:
        """Cut the file back to the last whole frame (J-WRITE-3)."""
        try:
            os.ftruncate(self._fd, self._byte)
        except OSError:
            self._refuses = "the journal can't be written on: an incomplete frame could not be taken back"

    def roll(self) -> int:
        """Begin the next segment and return its number.

        Raises
        ------
        OSError
            If the new segment could not be made; the journal goes on in the old one.
        """
        start = self.end._replace(segment=self._segment + 1, byte=0)
        if start.segment > SEGMENTS_MAX:
            raise ValueError(f"a journal has at most {SEGMENTS_MAX} segments")
        # The new segment is complete before the old one is let go of: a failure leaves the journal as it was.
        finished, self._fd = self._fd, self._start_segment(start)
        os.close(finished)
        return self._segment

    def close(self) -> None:
        """Let go of the file; what was appended is complete."""
        if self._fd >= 0:
            os.close(self._fd)
        self._fd, self._refuses = -1, "the journal is closed"
