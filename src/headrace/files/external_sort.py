"""Sorts the lines of a file by event time, in bounded memory: sorted runs on disk, then merged.

The order is by event time and, for equal times, by the place in the file. A line without a time that an event
may have stays behind the line before it. The same lines always come out in the same order.
"""

from __future__ import annotations

import struct
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from heapq import merge
from operator import itemgetter
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from headrace.errors import InputError
from headrace.files.line_reader import LineReader
from headrace.journal.batches import Mark
from headrace.operators.events.event_times import AT_ONCE, times_of
from headrace.operators.events.oversized import CutLine, cut_line_of, whole_of

__all__ = ["PLACE", "SortedLines", "sort_lines"]

PLACE: Final = struct.Struct("<QQ")
"""Of each sorted line: the offset and the number that it has in the file."""

# Time, offset and number of a line, its length, and how much follows of what was cut off it.
_HEAD: Final = struct.Struct("<qQQIB")
_LINES_AT_ONCE: Final = 4096
# What the interpreter needs for a line beside its bytes, its time, offset and number.
_LINE_OVERHEAD_BYTES: Final = 200
# A file each is held open; far below the 256 or 1024 descriptors that a process may have by default.
_RUNS_AT_ONCE: Final = 64
_BUFFER_BYTES: Final = 131_072

_Entry = tuple[int, int, int, bytes]


class SortedLines(NamedTuple):
    """What sorting has given.

    Attributes
    ----------
    lines, places
        Files: the lines, each with a newline, and their places in the original.
    total, moved
        How many lines, and how many of them came later than one with a higher time.
    size
        Bytes of the lines.
    end
        How far the original was read.
    cut
        Of lines of which only the head was kept, by their places in the order: what is known of the whole.
    error
        Why it could be read no further; None at its proper end.
    unfinished_bytes
        Of a last line without a newline that was left.
    """

    lines: Path
    places: Path
    total: int
    moved: int
    size: int
    end: Mark
    cut: Mapping[int, bytes]
    error: InputError | None
    unfinished_bytes: int


def sort_lines(reader: LineReader, folder: Path, bytes_max: int, *, end: int | None = None) -> SortedLines:
    """Sort what a reader hands out, and write it to two files.

    Parameters
    ----------
    reader
        Of the file; it is closed.
    folder
        Where the files go, and meanwhile about as much again.
    bytes_max
        Lines that are held in memory, in bytes.
    end
        Take lines that begin before this offset only; None for all.

    Raises
    ------
    OSError
        If there is no room in the folder.
    """
    sorting = _Sorting(folder, bytes_max)
    try:
        sorting.take_all(reader, end)
        lines, places = folder / "lines", folder / "places"
        count, size = sorting.write(lines, places)
    finally:
        reader.close()
        sorting.clear()
    return SortedLines(
        lines,
        places,
        count,
        sorting.moved,
        size,
        reader.mark,
        sorting.cut,
        reader.error,
        reader.unfinished_bytes,
    )


class _Sorting:
    """The runs of one file."""

    def __init__(self, folder: Path, bytes_max: int) -> None:
        self._folder, self._bytes_max = folder, bytes_max
        self._runs: list[Path] = []
        self._made = 0
        self._held: list[_Entry] = []
        self._held_bytes = 0
        self._last = self._highest = AT_ONCE
        self.moved = 0
        self.cut: dict[int, bytes] = {}

    def take_all(self, reader: LineReader, end: int | None) -> None:
        """Take lines in; what is in memory is written as a run when it is too much."""
        while taken := self._some(reader, end):
            payloads, offsets, numbers = taken
            for time_ms, offset, line, payload in zip(
                times_of(payloads), offsets, numbers, payloads, strict=True
            ):
                # Its neighbour's time keeps a broken line in its place, where whoever reads the dead letters
                # looks for it.
                at = time_ms if time_ms != AT_ONCE else self._last
                self._last = at
                self.moved += at < self._highest
                self._highest = max(at, self._highest)
                self._held.append((at, offset, line, payload))
            self._held_bytes += sum(map(len, payloads)) + _LINE_OVERHEAD_BYTES * len(payloads)
            if self._held_bytes >= self._bytes_max:
                self._put_away()

    @staticmethod
    def _some(
        reader: LineReader, end: int | None
    ) -> tuple[Sequence[bytes], Sequence[int], Sequence[int]] | None:
        """Return the next lines that begin before the end; a pipe is waited for."""
        while (taken := reader.take(_LINES_AT_ONCE)) is None and not reader.ended:
            pass
        if taken is None or end is None:
            return taken
        payloads, offsets, numbers = taken
        kept = bisect_left(offsets, end)
        return (payloads[:kept], offsets[:kept], numbers[:kept]) if kept else None

    def _put_away(self) -> None:
        self._held.sort(key=itemgetter(0))  # it is stable
        self._runs.append(self._written(iter(self._held)))
        self._held, self._held_bytes = [], 0

    def _written(self, entries: Iterator[_Entry]) -> Path:
        path = self._folder / f"run-{self._made}"
        self._made += 1
        with open(path, "wb", buffering=_BUFFER_BYTES) as file:
            for time_ms, offset, number, payload in entries:
                whole = whole_of(payload) if isinstance(payload, CutLine) else b""
                file.write(_HEAD.pack(time_ms, offset, number, len(payload), len(whole)))
                file.write(payload)
                file.write(whole)
        return path

    def write(self, lines: Path, places: Path) -> tuple[int, int]:
        """Write all lines in their order; gives how many they are, and their bytes."""
        # Only runs that stand side by side are merged, so the order of equal times stays that of the file.
        while len(self._runs) > _RUNS_AT_ONCE:
            self._merge_some()
        self._held.sort(key=itemgetter(0))
        count = size = 0
        with ExitStack() as stack:
            files = [stack.enter_context(open(path, "rb", buffering=_BUFFER_BYTES)) for path in self._runs]
            out = stack.enter_context(open(lines, "wb", buffering=_BUFFER_BYTES))
            beside = stack.enter_context(open(places, "wb", buffering=_BUFFER_BYTES))
            # Of equal times that of the earlier run goes first; what is still in memory came last.
            for _, offset, number, payload in merge(*map(_entries, files), self._held, key=itemgetter(0)):
                out.write(payload)
                out.write(b"\n")
                beside.write(PLACE.pack(offset, number))
                if isinstance(payload, CutLine):
                    self.cut[count] = whole_of(payload)
                count, size = count + 1, size + len(payload) + 1
        return count, size

    def _merge_some(self) -> None:
        """Merge the first runs of so many as can be open together, over and over, to longer ones."""
        merged: list[Path] = []
        for first in range(0, len(self._runs), _RUNS_AT_ONCE):
            some = self._runs[first : first + _RUNS_AT_ONCE]
            with ExitStack() as stack:
                files = [stack.enter_context(open(path, "rb", buffering=_BUFFER_BYTES)) for path in some]
                merged.append(self._written(merge(*map(_entries, files), key=itemgetter(0))))
            for path in some:
                path.unlink()
        self._runs = merged

    def clear(self) -> None:
        """Remove the runs."""
        for path in self._folder.glob("run-*"):
            with suppress(FileNotFoundError):
                path.unlink()


def _entries(file: BinaryIO) -> Iterator[_Entry]:
    while head := file.read(_HEAD.size):
        time_ms, offset, number, length, beside = _HEAD.unpack(head)
        payload = file.read(length)
        yield time_ms, offset, number, cut_line_of(payload, file.read(beside)) if beside else payload
