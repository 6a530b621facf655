"""Walks through a journal, frame by frame, and checks that nothing is missing.

The format, and what a reader may conclude from damage, is specified in docs/specs/journal.md; the clauses
named there (J-...) are what the tests name too.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

from headrace.errors import JournalDamaged, StateMismatch
from headrace.journal.frame_reader import Torn, read_body, read_frame_head
from headrace.journal.frames import GENESIS, Boundary, Frame, FrameHead, TornTail
from headrace.journal.keys import configured_keys
from headrace.journal.segments import is_keyed, read_segment_head, segment_numbers, segment_path

__all__ = ["JournalReader"]

_log = logging.getLogger(__name__)
_READ_BUFFER_BYTES: Final = 1 << 18
_HEADS_BUFFER_BYTES: Final = 1 << 13  # most of what a larger one reads would be passed over


class JournalReader:
    """Walks through a journal from a boundary on, and checks what it passes.

    Of `frames` and `heads` one is called, once. `heads` passes over the records, which makes it fast: it
    checks order, counts and the chain, but not that the records are what was written.

    Parameters
    ----------
    directory
        The shard's directory.
    start
        Where to begin: `start_of` a segment, `first_boundary`, or what an earlier reader or writer said.
    cut_torn_tail
        Whether the rest of an interrupted write is cut off, with a warning in the log. Only the owner of
        the journal may do so; to others it may be a frame in the making.

    Attributes
    ----------
    torn
        What was left at the end by an interrupted write, cut off or not.
    """

    def __init__(self, directory: Path, start: Boundary, *, cut_torn_tail: bool) -> None:
        self._directory = directory
        self._cut_torn_tail = cut_torn_tail
        self._boundary = start
        self._marks = {mark.source: mark for mark in start.marks}
        self._keys, self._keyed = configured_keys(), False
        self.torn: TornTail | None = None

    @property
    def boundary(self) -> Boundary:
        """The boundary after the last frame that was handed out."""
        return self._boundary._replace(marks=tuple(self._marks[source] for source in sorted(self._marks)))

    def frames(self) -> Iterator[Frame]:
        """Read all frames from the start on, each checked in full.

        Raises
        ------
        JournalDamaged
            If bytes are not what was written, or some are missing. A torn tail is no damage.
        """
        for file, path, head in self._walk(_READ_BUFFER_BYTES):
            # The boundary moves before the frame is given out: whoever stops there never comes back into this
            # generator.
            frame = read_body(file, path, head)
            self._pass(head)
            yield frame

    def heads(self) -> Iterator[FrameHead]:
        """Read the heads of all frames from the start on.

        Raises
        ------
        JournalDamaged
            If a head is not what was written, or frames are missing.
        """
        for file, _, head in self._walk(_HEADS_BUFFER_BYTES):
            file.seek(head.position_next)
            self._pass(head)
            yield head

    def _walk(self, buffer_bytes: int) -> Iterator[tuple[BinaryIO, Path, FrameHead]]:
        numbers = [number for number in segment_numbers(self._directory) if number >= self._boundary.segment]
        if not numbers and self._boundary == GENESIS:
            return
        if not numbers or numbers[0] != self._boundary.segment:
            missing = segment_path(self._directory, self._boundary.segment)
            raise JournalDamaged(missing, 0, "this segment is missing")
        for number in numbers:
            path = segment_path(self._directory, number)
            self._keyed = is_keyed(path)
            refusal = self._keys.refusal(keyed=self._keyed)
            if refusal:
                raise StateMismatch([f"{path}: {refusal}"])
            with open(path, "rb", buffering=buffer_bytes) as file:
                self._enter(file, path, number)
                for head in self._segment_heads(file, path, last=number == numbers[-1]):
                    yield file, path, head

    def _enter(self, file: BinaryIO, path: Path, segment: int) -> None:
        """Go to the boundary in its own segment, or past the head of the next one (J-SEG-4)."""
        if self._boundary.segment == segment and self._boundary.byte:
            file.seek(self._boundary.byte)
            return
        # A segment's head repeats all that came before it, so a missing or swapped segment shows here at
        # once.
        start = read_segment_head(file, path, segment)
        if start != self.boundary._replace(segment=segment, byte=start.byte):
            raise JournalDamaged(path, 0, "the segment doesn't go on where the one before it ended")
        self._boundary = start

    def _segment_heads(self, file: BinaryIO, path: Path, *, last: bool) -> Iterator[FrameHead]:
        # As it is now: a running flow writes on, and the frame that it is writing counts as a torn tail to
        # this reader.
        size = os.fstat(file.fileno()).st_size
        if size < self._boundary.byte:
            raise JournalDamaged(path, size, f"the file ends before byte {self._boundary.byte}")
        while self._boundary.byte < size:
            position = self._boundary.byte
            try:
                head = read_frame_head(file, path, self._boundary.segment, position, size)
            # Only what a crash can leave is cut off: an incomplete frame at the very end of the last segment.
            # It was never acted on. Anywhere else the same bytes are damage, and nobody may guess what they
            # said.
            except Torn as torn:
                if not last:
                    why = f"{torn}, and this is not the last segment"
                    raise JournalDamaged(path, position, why) from None
                self._leave(TornTail(str(path), position, size - position, str(torn)))
                return
            self._check(path, head)
            yield head

    def _check(self, path: Path, head: FrameHead) -> None:
        """See that a frame follows upon the one before it (J-FRAME-3, J-CHAIN-2)."""
        here = self._boundary
        # The counts are compared before the chain, for a message that says what is missing, not just that
        # something is.
        if head.seq != here.seq:
            raise JournalDamaged(path, head.position, f"sequence number {head.seq} instead of {here.seq}")
        if not here.ordinal <= head.ordinal_first <= head.ordinal_next:
            raise JournalDamaged(path, head.position, f"ordinals {head.ordinal_first} to {head.ordinal_next}")
        lengths = (head.decisions_bytes, head.dead_letters_bytes)
        if lengths != (here.decisions_bytes, here.dead_letters_bytes):
            raise JournalDamaged(path, head.position, "the lengths of the outputs don't go on")
        if not self._keys.fits(here.chain + head.content, head.chain, keyed=self._keyed):
            other = ", or was made with another key" if self._keyed else ""
            raise JournalDamaged(path, head.position, f"the hash chain is broken{other}")

    def _pass(self, head: FrameHead) -> None:
        for mark in head.marks:
            self._marks[mark.source] = mark
        self._boundary = Boundary(
            head.segment,
            head.position_next,
            head.seq + head.records,
            head.ordinal_next,
            head.decisions_bytes_next,
            head.dead_letters_bytes_next,
            head.chain,
            (),
        )

    def _leave(self, torn: TornTail) -> None:
        self.torn = torn
        if self._cut_torn_tail:
            os.truncate(torn.file, torn.byte)
            _log.warning("%s: cut off", torn)
