"""Reads the lines of one file or pipe, so that a run can go on where it stopped."""

from __future__ import annotations

import zlib
from codecs import BOM_UTF8
from collections.abc import Sequence
from itertools import accumulate
from operator import add
from typing import Final

from headrace.errors import ChangedSource
from headrace.files.file_bytes import BLOCK_BYTES, STREAM_WAIT_MS, FileBytes
from headrace.files.progress import Progress
from headrace.journal.batches import Mark
from headrace.operators.events.event_times import AT_ONCE, plausible_times, times_of
from headrace.operators.events.oversized import CutLine, LongLine, length_of

__all__ = ["LINE_BYTES_MAX", "LineReader"]

LINE_BYTES_MAX: Final = 16_777_216
_HEAD_BYTES: Final = 65_537
_BLANK: Final = (b"", b"\r")


class LineReader:
    """The lines of one source, in order, in bounded memory.

    A line is what stands before a newline. What stands between the last newline and the proper end is one
    too, but not what stands before the place where a damaged gzip stops. Blank lines are counted and skipped.
    A gzip file is told by its first bytes; its lines may run across its members. A byte order mark at the
    beginning belongs to no line. Of a file that is recognised as another format no line is handed out, but
    `error` says which.

    Parameters
    ----------
    path
        A file, a pipe, or `-` for standard input.
    number
        The source's number in the state; it comes back in marks and batches.
    start
        Go on from here. The part before it is read again and must be the same.
    block_bytes
        Bytes read, and bytes decompressed, at a time.
    line_bytes_max
        Of a longer line only the head is kept, as a `CutLine`.
    head_bytes
        Length of that head.
    stream_wait_ms
        How long to wait for a pipe that has nothing yet, before `take` returns without lines.
    leave_unfinished
        Take a file's last line only once it ends in a newline: its writer may be in the middle of it. A pipe
        that has ended gets no more, and can't be read again; of it the last line is taken in any case.
    begun
        What is read, where it was opened before.
    continued
        Count on from `start`, but do not expect the part before it: it came through a pipe, and is gone.

    Raises
    ------
    InputError
        If the file can't be opened.
    ChangedSource
        If the part before `start` isn't what it was, or is no longer there.

    Attributes
    ----------
    ended : bool
        Nothing more will come.
    error : InputError | None
        Why it ended before its proper end: `TruncatedInput`, or `InputError` where it can't be read on.
    unfinished_bytes : int
        Of a last line that was left.
    """

    def __init__(
        self,
        path: str,
        *,
        number: int = 0,
        start: Mark | None = None,
        block_bytes: int = BLOCK_BYTES,
        line_bytes_max: int = LINE_BYTES_MAX,
        head_bytes: int = _HEAD_BYTES,
        stream_wait_ms: int = STREAM_WAIT_MS,
        leave_unfinished: bool = False,
        continued: bool = False,
        begun: FileBytes | None = None,
    ) -> None:
        self.path, self.number = path, number
        self._line_bytes_max, self._head_bytes = line_bytes_max, head_bytes
        # In the middle of a file there is nothing to tell a format by; its beginning was looked at when it
        # was first read.
        expected = continued or start is None or not start.offset
        self._bytes = begun or FileBytes(path, block_bytes, stream_wait_ms, lines=expected)
        self.ended, self.error = False, self._bytes.error
        self._leave_unfinished, self.unfinished_bytes = leave_unfinished and not self._bytes.stream, 0
        self._look_ahead = self._future_skew_ms = 0
        self._read_times = False
        # The lines of the current block that are whole, and the bytes after them.
        self._payloads: list[bytes] = []
        self._offsets: list[int] = []
        self._lines: Sequence[int] = ()
        self._times: list[int] = []
        self._at = 0
        self._has_long = False
        self._rest: list[bytes] = []
        self._open_bytes = 0
        # The line that is being read, once it is too long, where it begins, and what was read behind it.
        self._long: LongLine | None = None
        self._long_at, self._after_long = 0, b""
        # What was handed out, and the checksum up to `_crc_at` in the block that starts at `_base`.
        self._mark = Mark(number, 0, 0, 0) if start is None else start._replace(source=number)
        self._end, self._line_read = self._mark.offset, self._mark.line
        self._block, self._base = b"", self._mark.offset
        self._crc, self._crc_at, self._line = self._mark.crc, self._mark.offset, self._mark.line
        # An offset among the lines, and which byte of the file that is.
        self._begins = self._mark.offset if continued else 0
        self._known = (self._begins, 0)
        if not continued and start is not None and start.offset:
            try:
                self._skip(start)
            except ChangedSource:
                self._bytes.close()
                raise

    def read_times(self, future_skew_ms_max: int, agree_lines: int) -> None:
        """Read every line's event time too; to be called before the first line is taken.

        Parameters
        ----------
        future_skew_ms_max
            A line whose time is ahead of a line soon after it by more is placed with that one: a broken
            clock must not hold back what follows.
        agree_lines
            Lines in a row that are accepted in any case. A pipe is not looked ahead in.
        """
        self._read_times = True
        self._future_skew_ms, self._look_ahead = (
            future_skew_ms_max,
            # A pipe isn't held back: its next lines may be long in coming, and those that are there would
            # wait for them.
            0 if self._bytes.stream else agree_lines - 1,
        )

    @property
    def stream(self) -> bool:
        """Whether it is a pipe, which can't be read again."""
        return self._bytes.stream

    @property
    def progress(self) -> Progress:
        """Bytes of the file whose lines were handed out; of a compressed one, about so many."""
        if self.ended and self._at == len(self._payloads) and not self.unfinished_bytes:
            return Progress(self._bytes.position, self._bytes.size)
        return Progress(self._byte_of(self._end, self._read_up_to), self._bytes.size)

    @property
    def mark(self) -> Mark:
        """How far lines were handed out: up to and with the newline of the last one."""
        if self._end != self._mark.offset:
            self._fold(self._end)
            self._mark = Mark(self.number, self._end, self._line_read, self._crc)
        return self._mark

    def take(self, lines_max: int) -> tuple[list[bytes], list[int], list[int]] | None:
        """Hand out the next lines: their bytes, the offset where each begins, and their numbers from 1.

        Returns None when there are none: at the end, or when a pipe has nothing yet.
        """
        if self._at == len(self._payloads) and not self._load():
            return None
        return self._hand_out(min(self._at + lines_max, len(self._payloads)))

    def next_time(self) -> int | None:
        """Event time of the next line in milliseconds, 0 if it has none; None when there is no line."""
        if self._at == len(self._payloads) and not self._load():
            return None
        return self._times[self._at]

    def take_until(self, time_ms: int, lines_max: int) -> tuple[list[bytes], list[int], list[int]]:
        """Hand out lines as `take`, up to the first one of a later time; some may be left."""
        times, place = self._times, self._at
        stop = min(place + lines_max, len(times))
        while place < stop and times[place] <= time_ms:
            place += 1
        return self._hand_out(place)

    def close(self) -> None:
        """Close the file; at its end that has been done."""
        self._bytes.close()

    def _hand_out(self, stop: int) -> tuple[list[bytes], list[int], list[int]]:
        chosen = slice(self._at, stop)
        payloads, offsets, lines = self._payloads[chosen], self._offsets[chosen], list(self._lines[chosen])
        if payloads:
            # The newline is used up with its line; the very last line may have none.
            self._end = min(offsets[-1] + length_of(payloads[-1]) + 1, self._base + len(self._block))
            self._line_read, self._at = lines[-1], stop
        return payloads, offsets, lines

    @property
    def _read_up_to(self) -> int:
        """Offset behind all that was read."""
        open_bytes = sum(map(len, self._rest)) + (self._long.bytes if self._long is not None else 0)
        read = self._base + len(self._block) + open_bytes
        return read + len(self._after_long) + self.unfinished_bytes

    def _byte_of(self, offset: int, read: int) -> int:
        """Which byte of the file an offset is, in proportion from the last that is known to what was read."""
        known, byte = self._known
        return byte + (offset - known) * (self._bytes.position - byte) // max(read - known, 1)

    def _fold(self, until: int) -> None:
        """Carry the checksum on to an offset in the current block."""
        part = memoryview(self._block)[self._crc_at - self._base : until - self._base]
        self._crc, self._crc_at = zlib.crc32(part, self._crc), until

    # -- blocks to lines

    def _load(self) -> bool:
        while not self.ended:
            block = self._after_long or self._bytes.read()
            self._after_long = b""
            if block is None:
                return False
            if not block:
                self._finish()
            elif self._long is not None:
                self._lengthen(self._long, block)
            elif b"\n" in block:
                self._split(block)
            else:
                self._keep(block)
            if self._at < len(self._payloads):
                return True
        return False

    def _keep(self, block: bytes) -> None:
        """Put away a piece of a line that doesn't end in it."""
        self._rest.append(block)
        self._open_bytes += len(block)
        if self._open_bytes > self._line_bytes_max + len(BOM_UTF8):  # which may be none of the line's
            self._begin_long()

    def _begin_long(self) -> None:
        """Keep no more of the line that doesn't end; first hand out those before it that were held back."""
        read = b"".join(self._rest)
        cut = read.rfind(b"\n") + 1
        self._rest, self._open_bytes = [], 0
        self._set(read[:cut])
        # The block before is closed: what follows goes through the checksum as it comes.
        begun, at = read[cut:], self._base + len(self._block)
        crc = zlib.crc32(memoryview(self._block)[self._crc_at - self._base :], self._crc)
        if at == self._begins and begun.startswith(BOM_UTF8):
            crc, begun, at = zlib.crc32(BOM_UTF8, crc), begun[len(BOM_UTF8) :], at + len(BOM_UTF8)
        self._long, self._long_at = LongLine(self._head_bytes, crc), at
        self._long.take(begun)

    def _lengthen(self, long: LongLine, block: bytes) -> None:
        """Take in more of a line that is too long, up to its end."""
        cut = block.find(b"\n")
        if cut < 0:
            long.take(block)
            return
        long.take(block[:cut])
        self._after_long = block[cut + 1 :]
        self._end_long(long, b"\n")

    def _end_long(self, long: LongLine, newline: bytes) -> None:
        """Hand out a line that was too long, as a block of its own of which nothing is kept."""
        self._mark = self.mark
        line, self._long = long.ended(), None
        end = self._long_at + long.bytes + len(newline)
        self._known = (end, self._byte_of(end, end + len(self._after_long)))
        self._block, self._base = b"", end
        self._crc, self._crc_at = zlib.crc32(newline, long.crc), end
        self._line += 1
        self._payloads, self._offsets, self._lines = [line], [self._long_at], (self._line,)
        self._times, self._at = [AT_ONCE], 0

    def _split(self, block: bytes) -> None:
        cut = block.rfind(b"\n") + 1
        whole = b"".join((*self._rest, block[:cut]))
        self._rest, self._open_bytes = [block[cut:]], len(block) - cut
        self._set(whole)
        # Whether a time runs ahead is told by the lines behind it, which may be in the next block.
        if self._look_ahead and not self.ended:
            self._hold_back()

    def _finish(self) -> None:
        """Hand out what is left at the end, without a line that was cut off."""
        self.ended, self.error = True, self._bytes.error
        self._bytes.close()
        if self._long is not None:
            if not (self.error or self._leave_unfinished):
                self._end_long(self._long, b"")
            elif not self.error:
                self.unfinished_bytes = self._long.bytes
            self._long = None
            return
        whole = b"".join(self._rest)
        if self.error or self._leave_unfinished:
            kept = whole.rfind(b"\n") + 1
            if self._leave_unfinished and whole[kept:] not in _BLANK:
                self.unfinished_bytes = len(whole) - kept
            whole = whole[:kept]
        self._rest = []
        self._set(whole)

    def _set(self, whole: bytes) -> None:
        """Take over bytes that follow on those before them, and end in a newline unless they are the last."""
        self._mark = self.mark
        end = self._base + len(self._block)
        # Before the block is replaced: the checksum runs over every byte once, in order, and never needs more
        # than one block.
        self._fold(end)
        read = end + len(whole) + sum(map(len, self._rest)) + self.unfinished_bytes
        self._known = (end, self._byte_of(end, read))
        self._block, self._base = whole, end
        # The whole block at once, in C; a loop over its lines would cost more than decoding them.
        payloads = whole.split(b"\n")
        if not payloads[-1]:
            payloads.pop()
        lengths = list(map(len, payloads))
        self._lines = range(self._line + 1, self._line + 1 + len(payloads))
        self._offsets = list(map(add, accumulate(lengths, initial=end), range(len(payloads))))
        self._payloads, self._at = payloads, 0
        self._line += len(payloads)
        if end == self._begins and whole.startswith(BOM_UTF8):
            payloads[0] = payloads[0][len(BOM_UTF8) :]
            self._offsets[0] += len(BOM_UTF8)
            lengths[0] -= len(BOM_UTF8)
        # A block that is shorter than a line may be has no long line, so most blocks are not searched for
        # one.
        self._has_long = len(whole) > self._line_bytes_max < max(lengths)
        if self._has_long:
            self._cut_long()
        # Blank lines count, as numbers of lines are shown to people; but nobody is handed one.
        if lengths and min(lengths) <= 1:
            self._drop_blank()
        if self._read_times:
            self._times = self._accepted(times_of(self._payloads))

    def _accepted(self, times: list[int]) -> list[int]:
        """Return times by which lines are placed.

        None looks beyond one that is cut, which may have come alone.
        """
        if not self._look_ahead:
            return times
        found, begin = [], 0
        for index, line in enumerate(self._payloads if self._has_long else ()):
            if isinstance(line, CutLine):
                found += [
                    *plausible_times(times[begin:index], self._future_skew_ms, self._look_ahead),
                    AT_ONCE,
                ]
                begin = index + 1
        return [*found, *self._plausible(times[begin:])]

    def _plausible(self, times: list[int]) -> list[int]:
        return plausible_times(times, self._future_skew_ms, self._look_ahead)

    def _drop_blank(self) -> None:
        kept = [place for place, payload in enumerate(self._payloads) if payload not in _BLANK]
        self._payloads = [self._payloads[place] for place in kept]
        self._offsets = [self._offsets[place] for place in kept]
        self._lines = [self._lines[place] for place in kept]

    def _cut_long(self) -> None:
        self._payloads = [
            CutLine.from_line(line, self._head_bytes) if len(line) > self._line_bytes_max else line
            for line in self._payloads
        ]

    def _hold_back(self) -> None:
        """Put the last lines back to the rest: what follows them must be known before they are placed."""
        place = max(len(self._payloads) - self._look_ahead, 0)
        if place == len(self._payloads):
            return
        cut = self._offsets[place] - self._base
        self._rest.insert(0, self._block[cut:])
        self._block, self._line = self._block[:cut], self._lines[place] - 1
        del self._payloads[place:], self._offsets[place:], self._times[place:]
        self._lines = self._lines[:place]

    # -- going on after a stop

    def _skip(self, start: Mark) -> None:
        offset, crc, part = 0, 0, b""
        while offset < start.offset:
            block = self._bytes.read()
            if block == b"":
                raise ChangedSource(f"{self.path}: ends at byte {offset}; it was read to byte {start.offset}")
            part = (block or b"")[: start.offset - offset]
            crc, offset = zlib.crc32(part, crc), offset + len(part)
            if offset == start.offset and block:
                self._rest = [block[len(part) :]]
        # Every byte before the mark is read for it. A changed file would be decided twice, or not at all,
        # without any sign of it.
        if crc != start.crc:
            raise ChangedSource(
                f"{self.path}: changed before byte {start.offset}, in the part that was read before"
            )
        if not part.endswith(b"\n"):
            self._skip_open_end(start)

    def _skip_open_end(self, start: Mark) -> None:
        """Go on after a last line that had no newline when it was read: it may have got one since."""
        while not self._rest[0]:
            block = self._bytes.read()
            if block == b"":
                return
            self._rest[0] = block or b""
        if not self._rest[0].startswith(b"\n"):
            raise ChangedSource(
                f"{self.path}: line {start.line} went on at byte {start.offset} after it was read"
            )
        self._line = start.line - 1
