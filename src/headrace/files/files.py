"""Files of lines: read in order and by event time, written so that a run can go on where it stopped."""

from __future__ import annotations

import os
import stat
import time
import zlib
from codecs import BOM_UTF8
from collections.abc import Callable, Sequence
from heapq import heappop, heappush, heapreplace
from itertools import accumulate
from operator import add
from typing import Final, NamedTuple

from headrace.config.private_files import open_file
from headrace.errors import ChangedSource, HeadraceError, ReaderGone, StateError
from headrace.files.file_bytes import BLOCK_BYTES, STANDARD, STREAM_WAIT_MS, FileBytes
from headrace.journal.batches import Batch, Mark
from headrace.operators.events.contract import EVENT_TIME_MS_MAX
from headrace.operators.events.event_times import AT_ONCE, believable, times_of
from headrace.operators.events.oversized import CutLine, LongLine, length_of

__all__ = [
    "LINE_BYTES_MAX",
    "STANDARD",
    "LineReader",
    "MergedReader",
    "OutputFile",
    "Pace",
    "Progress",
]

LINE_BYTES_MAX: Final = 16_777_216
_HEAD_BYTES: Final = 65_537
_BLANK: Final = (b"", b"\r")


class Progress(NamedTuple):
    """How much of the inputs was read.

    Attributes
    ----------
    bytes_done
        Bytes of the files, compressed ones if they are compressed.
    bytes_total
        Their size; None when one of them is a pipe.
    """

    bytes_done: int
    bytes_total: int | None


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
    ) -> None:
        self.path, self.number = path, number
        self._line_bytes_max, self._head_bytes = line_bytes_max, head_bytes
        expected = continued or start is None or not start.offset
        self._bytes = FileBytes(path, block_bytes, stream_wait_ms, lines=expected)
        self.ended, self.error = False, self._bytes.error
        self._leave_unfinished, self.unfinished_bytes = leave_unfinished and not self._bytes.stream, 0
        self._look_ahead = self._ahead_ms = 0
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

    def read_times(self, ahead_ms_max: int, agree_lines: int) -> None:
        """Read every line's event time too; to be called before the first line is taken.

        Parameters
        ----------
        ahead_ms_max
            A line whose time is ahead of a line soon after it by more is placed with that one: a broken
            clock must not hold back what follows.
        agree_lines
            Lines in a row that are believed in any case. A pipe is not looked ahead in.
        """
        self._read_times = True
        self._ahead_ms, self._look_ahead = ahead_ms_max, 0 if self._bytes.stream else agree_lines - 1

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
        self._fold(end)
        read = end + len(whole) + sum(map(len, self._rest)) + self.unfinished_bytes
        self._known = (end, self._byte_of(end, read))
        self._block, self._base = whole, end
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
        self._has_long = len(whole) > self._line_bytes_max < max(lengths)
        if self._has_long:
            self._cut_long()
        if lengths and min(lengths) <= 1:
            self._drop_blank()
        if self._read_times:
            self._times = self._believed(times_of(self._payloads))

    def _believed(self, times: list[int]) -> list[int]:
        """Times by which lines are placed; none looks beyond one that is cut, which may have come alone."""
        if not self._look_ahead:
            return times
        found, begin = [], 0
        for place, line in enumerate(self._payloads if self._has_long else ()):
            if isinstance(line, CutLine):
                found += [*believable(times[begin:place], self._ahead_ms, self._look_ahead), AT_ONCE]
                begin = place + 1
        return [*found, *believable(times[begin:], self._ahead_ms, self._look_ahead)]

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


class Pace:
    """Lets event time pass against the wall clock.

    Parameters
    ----------
    speed
        Seconds of event time in a second.
    now
        Seconds on a clock that doesn't go back.
    """

    def __init__(self, speed: float, now: Callable[[], float] = time.monotonic) -> None:
        if not speed > 0:
            raise ValueError("speed must be positive")
        self._speed, self._now = speed, now
        self._first_ms: int | None = None
        self._begun = 0.0

    def reached_ms(self, next_ms: int) -> int:
        """Event time reached, in milliseconds; it starts with the first event, `next_ms`."""
        if self._first_ms is None:
            if next_ms == AT_ONCE:
                return AT_ONCE
            self._first_ms, self._begun = next_ms, self._now()
        return self._first_ms + int((self._now() - self._begun) * self._speed * 1000)

    def wait_s(self, time_ms: int) -> float:
        """Seconds until an event of this time is due; 0 if it is."""
        if self._first_ms is None:
            return 0.0
        return max(0.0, (time_ms - self._first_ms) / (1000 * self._speed) - (self._now() - self._begun))


class MergedReader:
    """Several sources as one, merged by event time.

    The next line is the earliest of the sources' next lines; of equal times the source named first goes
    first. A line without a usable time comes at once after the line before it. The order depends on nothing
    but the lines after the marks, so that it is the same after a stop at any batch. One source alone keeps
    the order of its lines.

    Parameters
    ----------
    readers
        The sources.
    ordinal
        Number of the first line, in the order of all lines that the state has seen.
    batch_lines_max
        Lines in a batch at most.
    pace
        Hand out lines only when they are due; not given: as fast as they can be read.
    ahead_ms_max, agree_lines
        A line ahead of one of the `agree_lines - 1` lines after it by more milliseconds than this takes the
        place of that one.

    Attributes
    ----------
    ended : bool
        Every source was read to its end, or to where it is damaged.
    """

    def __init__(
        self,
        readers: Sequence[LineReader],
        *,
        ordinal: int = 0,
        batch_lines_max: int = 512,
        pace: Pace | None = None,
        ahead_ms_max: int = 86_400_000,
        agree_lines: int = 16,
    ) -> None:
        self._readers, self._pace = list(readers), pace
        self._batch_lines_max = self._lines_max = batch_lines_max
        self.ordinal, self.ended = ordinal, not readers
        self._heads: list[tuple[int, int]] = []
        self._unknown = list(range(len(self._readers)))
        self._straight = pace is None and len(self._readers) == 1
        if not self._straight:
            for reader in self._readers:
                reader.read_times(ahead_ms_max, agree_lines)

    @property
    def stream(self) -> bool:
        """Whether the next line is awaited from a pipe."""
        return any(self._readers[order].stream for order in self._unknown)

    @property
    def progress(self) -> Progress:
        """Bytes read of all sources."""
        each = [reader.progress for reader in self._readers]
        sizes = [progress.bytes_total for progress in each if progress.bytes_total is not None]
        return Progress(
            sum(progress.bytes_done for progress in each), sum(sizes) if len(sizes) == len(each) else None
        )

    @property
    def progress_by_source(self) -> list[tuple[int, Progress]]:
        """Number and bytes read of each source."""
        return [(reader.number, reader.progress) for reader in self._readers]

    @property
    def marks(self) -> tuple[Mark, ...]:
        """How far each source was read."""
        return tuple(reader.mark for reader in self._readers)

    def next_batch(self, lines_max: int | None = None) -> Batch | None:
        """The next lines; None at the end, when none is due yet, or when a pipe has nothing yet.

        Parameters
        ----------
        lines_max
            Take fewer than a whole batch.

        Raises
        ------
        InputError
            When all sources are at their end and one of them ended too early: the error of the first such
            source, `TruncatedInput` for a damaged gzip.
        """
        room = self._lines_max if lines_max is None else min(lines_max, self._lines_max)
        batch = self._next_straight(room) if self._straight else self._next_merged(room)
        if batch is None and self.ended:
            for reader in self._readers:
                if reader.error:
                    raise reader.error
        return batch

    def limit_batches(self, lines_max: int | None) -> None:
        """Hand out smaller batches from now on; None for those that were configured."""
        self._lines_max = self._batch_lines_max if lines_max is None else lines_max

    def next_due_s(self) -> float | None:
        """Seconds until the next line is due; None when it is due now or not known."""
        if self._pace is None or self._unknown or not self._heads:
            return None
        return self._pace.wait_s(self._heads[0][0]) or None

    def close(self) -> None:
        """Close all files."""
        for reader in self._readers:
            reader.close()

    def _next_straight(self, room: int) -> Batch | None:
        reader = self._readers[0]
        taken = reader.take(room)
        if taken is None:
            self.ended = reader.ended
            return None
        payloads, offsets, lines = taken
        return self._batch(payloads, [reader.number] * len(payloads), offsets, lines, (reader.mark,))

    def _next_merged(self, room: int) -> Batch | None:
        self._look()
        if self._unknown or not self._heads:
            self.ended = not self._unknown
            return None
        limit = EVENT_TIME_MS_MAX if self._pace is None else self._pace.reached_ms(self._heads[0][0])
        return self._merge(limit, room)

    def _look(self) -> None:
        """Find the next line of each source where it isn't known."""
        waiting = []
        for order in self._unknown:
            head = self._readers[order].next_time()
            if head is not None:
                heappush(self._heads, (head, order))
            elif not self._readers[order].ended:
                waiting.append(order)
        self._unknown = waiting

    def _merge(self, limit: int, lines_max: int) -> Batch | None:
        heads, readers = self._heads, self._readers
        payloads: list[bytes] = []
        sources: list[int] = []
        offsets: list[int] = []
        lines: list[int] = []
        moved: set[int] = set()
        room = lines_max
        while room and heads and heads[0][0] <= limit and not self._unknown:
            order = heads[0][1]
            reader = readers[order]
            taken = reader.take_until(min(limit, self._until()), room)
            payloads += taken[0]
            sources += [reader.number] * len(taken[0])
            offsets += taken[1]
            lines += taken[2]
            moved.add(order)
            room = lines_max - len(payloads)
            self._advance(order)
        if not payloads:
            return None
        return self._batch(
            payloads, sources, offsets, lines, tuple(readers[order].mark for order in sorted(moved))
        )

    def _until(self) -> int:
        """The last time up to which the first source goes on before another's turn comes."""
        heads = self._heads
        if len(heads) == 1:
            return EVENT_TIME_MS_MAX
        second = heads[1] if len(heads) == 2 else min(heads[1], heads[2])
        return second[0] if heads[0][1] < second[1] else second[0] - 1

    def _advance(self, order: int) -> None:
        head = self._readers[order].next_time()
        if head is not None:
            heapreplace(self._heads, (head, order))
            return
        heappop(self._heads)
        if not self._readers[order].ended:
            self._unknown.append(order)

    def _batch(
        self,
        payloads: list[bytes],
        sources: list[int],
        offsets: list[int],
        lines: list[int],
        marks: tuple[Mark, ...],
    ) -> Batch:
        ordinal = self.ordinal
        self.ordinal += len(payloads)
        return Batch(
            accepted_ms=time.time_ns() // 1_000_000,
            accepted_ns=time.perf_counter_ns(),
            ordinal=ordinal,
            payloads=payloads,
            sources=sources,
            offsets=offsets,
            lines=lines,
            marks=marks,
        )


class OutputFile:
    """A file, a pipe or standard output that lines are written to, without a buffer of its own.

    Parameters
    ----------
    path
        A file or a pipe; `-` for standard output.
    append
        Keep what a file holds; else it starts empty.
    fsync
        Wait after every write until the bytes are on the disk.

    Raises
    ------
    HeadraceError
        If it can't be opened.

    Attributes
    ----------
    length : int
        Bytes in the file; for a pipe, bytes written.
    """

    def __init__(self, path: str, *, append: bool = False, fsync: bool = False) -> None:
        self.path = path
        flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | (0 if append else os.O_TRUNC)
        try:
            self._file = 1 if path == STANDARD else open_file(path, flags)
            status = os.fstat(self._file)
        except OSError as error:
            raise HeadraceError(f"{path}: can't be written: {error.strerror}") from error
        self.regular = path != STANDARD and stat.S_ISREG(status.st_mode)
        self._fsync = fsync and self.regular
        self.length = os.lseek(self._file, 0, os.SEEK_END) if self.regular else 0

    def resume(self, length: int) -> None:
        """Cut the file off at a length, and write on from there.

        Raises
        ------
        StateError
            If it is shorter, or no file that can be cut.
        """
        if not self.regular:
            raise StateError(f"{self.path}: is no file; the run can't go on in it")
        if self.length < length:
            raise StateError(f"{self.path}: has {self.length} bytes; the run had written {length}")
        os.ftruncate(self._file, length)
        os.lseek(self._file, length, os.SEEK_SET)
        self.length = length

    def write(self, lines: Sequence[bytes]) -> None:
        """Write lines, which bring their newlines along.

        Raises
        ------
        HeadraceError
            If they can't be written, as on a full disk; `ReaderGone` when nobody reads standard output.
        """
        left = memoryview(b"".join(lines))
        try:
            while left:
                written = os.write(self._file, left)
                self.length += written
                left = left[written:]
            if self._fsync:
                os.fsync(self._file)
        except BrokenPipeError as error:
            if self.path == STANDARD:
                raise ReaderGone("standard output: its reader has gone") from error
            raise HeadraceError(f"{self.path}: its reader has gone") from error
        except OSError as error:
            raise HeadraceError(
                f"{self.path}: byte {self.length}: can't be written: {error.strerror}"
            ) from error

    def close(self) -> None:
        """Close the file; standard output stays open."""
        if self._file > 1:
            os.close(self._file)
        self._file = -1
