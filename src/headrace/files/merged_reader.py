"""Merges several sources into one, by event time."""

from __future__ import annotations

import time
from collections.abc import Sequence
from heapq import heappop, heappush, heapreplace

from headrace.files.line_reader import LineReader
from headrace.files.pace import Pace
from headrace.files.progress import Progress
from headrace.journal.batches import Batch, Mark
from headrace.operators.events.contract import EVENT_TIME_MS_MAX

__all__ = ["MergedReader"]


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
    future_skew_ms_max, agree_lines
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
        future_skew_ms_max: int = 86_400_000,
        agree_lines: int = 16,
    ) -> None:
        self._readers, self._pace = list(readers), pace
        self._batch_lines_max = self._lines_max = batch_lines_max
        self.ordinal, self.ended = ordinal, not readers
        self._heads: list[tuple[int, int]] = []
        self._unknown = list(range(len(self._readers)))
        # One source without a pace needs no times, and finding them is most of what reading costs.
        self._straight = pace is None and len(self._readers) == 1
        if not self._straight:
            for reader in self._readers:
                reader.read_times(future_skew_ms_max, agree_lines)

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
        """Return the next lines; None at the end, when none is due yet, or when a pipe has nothing yet.

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
        # As soon as one source is unknown, nothing may go on: its next line could be earlier than all others.
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
        """Return the last time up to which the first source goes on before another's turn comes."""
        heads = self._heads
        if len(heads) == 1:
            return EVENT_TIME_MS_MAX
        second = heads[1] if len(heads) == 2 else min(heads[1], heads[2])
        # Of equal times the source with the lower number goes first, so the order depends on nothing else.
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
