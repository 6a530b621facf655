"""Merges the past of partitions by event time, and lets nothing wait that comes in live.

Messages of the past, which a run is catching up with, go on in the order of their event times, so that it
learns in the order in which a live one would have. They wait for partitions that are behind as well; a live
message waits for none.
"""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from operator import itemgetter
from typing import Any, Final, NamedTuple, TypeAlias

from headrace.journal.batches import Batch, Mark
from headrace.journal.passed_headers import PassedHeaders
from headrace.operators.events.event_times import plausible_times, times_of

__all__ = ["PartitionMerge"]

_NO_LIMIT: Final = 1 << 62
# Resumed only when there is room for more than a few messages: what was fetched ahead is fetched once more.
_RESUME_SHARE: Final = 0.25


class _Ready(NamedTuple):
    """Messages in the order in which they go on: values, sources, offsets, since when they wait."""

    payloads: list[bytes]
    sources: list[int]
    offsets: list[int]
    since_ms: list[int]

    def between(self, first: int, end: int) -> _Ready:
        return self._of(itemgetter(slice(first, end)))

    def ordered(self, order: Sequence[int]) -> _Ready:
        return self._of(lambda column: [column[at] for at in order] if column else column)

    def plus(self, more: _Ready) -> None:
        self.payloads.extend(more.payloads)
        self.sources.extend(more.sources)
        self.offsets.extend(more.offsets)
        self.since_ms.extend(more.since_ms)

    def _of(self, choose: Callable[[Any], Any]) -> _Ready:
        return _Ready(*map(choose, self))


class _Buffer:
    """Messages of one partition that were read and not handed on."""

    __slots__ = ("keys", "last", "offsets", "past", "paused", "payloads", "since_ms")

    def __init__(self) -> None:
        self.payloads: list[bytes] = []
        self.offsets: list[int] = []
        self.since_ms: list[int] = []
        self.keys: list[int] = []
        self.last = 0
        self.past = 0  # so many at the front belong to the past
        self.paused = False

    def add(
        self,
        payloads: Sequence[bytes],
        offsets: Sequence[int],
        times: Sequence[int],
        since_ms: Sequence[int],
        *,
        past: bool,
    ) -> None:
        self.payloads += payloads
        if past:
            self.past = len(self.payloads)
        self.offsets += offsets
        self.since_ms += since_ms
        # The order within a partition stays, so a message can't go before one with a later time.
        keys = list(accumulate(times, max, initial=self.last))[1:]
        self.keys += keys
        self.last = keys[-1]

    def cut(self, source: int, count: int) -> _Ready:
        """Take the first messages out."""
        payloads, offsets = self.payloads[:count], self.offsets[:count]
        taken = _Ready(payloads, [source] * len(payloads), offsets, self.since_ms[:count])
        del self.payloads[:count], self.offsets[:count], self.keys[:count], self.since_ms[:count]
        self.past = max(self.past - count, 0)
        return taken


_Filled: TypeAlias = "Sequence[tuple[int, _Buffer]]"


class PartitionMerge:
    """Holds what was read of partitions until it is its turn.

    Parameters
    ----------
    sources
        Numbers of the partitions, in the order that decides between equal times.
    batch_messages_max
        Messages of a batch.
    buffer_messages_max
        With so many waiting, no more of a partition is to be read.
    wait_ms_max
        A partition that is behind and gives nothing is waited for no longer.
    future_skew_ms_max, agree_messages
        A time that runs ahead of the messages soon after it by more is not accepted.

    Attributes
    ----------
    waits : int
        How often messages of the past had to wait for a partition that is behind.
    """

    def __init__(
        self,
        sources: Iterable[int],
        *,
        batch_messages_max: int,
        buffer_messages_max: int,
        wait_ms_max: int,
        future_skew_ms_max: int,
        agree_messages: int,
    ) -> None:
        self._buffers = {source: _Buffer() for source in sources}
        self._batch_max, self._buffer_max = batch_messages_max, buffer_messages_max
        self._hand_out_max = batch_messages_max
        self._wait_s_max = wait_ms_max / 1000
        self._future_skew_ms_max, self._agree = future_skew_ms_max, agree_messages
        self._waits_since: float | None = None
        self._headers: dict[tuple[int, int], PassedHeaders] = {}
        self.waits = 0
        self._ready = _Ready([], [], [], [])
        self._at = 0

    def extend(
        self,
        source: int,
        payloads: Sequence[bytes],
        offsets: Sequence[int],
        *,
        since_ms: Sequence[int] = (),
        past: bool = False,
        headers: Mapping[int, PassedHeaders] | None = None,
    ) -> None:
        """Take messages of a partition in.

        Parameters
        ----------
        source
            Its number.
        payloads, offsets
            The messages, ascending by offset.
        since_ms
            Since when each waits, as `Batch` has it; of all messages, or of none.
        past
            Whether they belong to a past that is being caught up with.
        headers
            By the offset of their message, headers that go on.
        """
        if headers:
            self._headers |= {(source, offset): some for offset, some in headers.items()}
        if not payloads:
            return
        buffer = self._buffers.setdefault(source, _Buffer())
        if len(self._buffers) == 1:
            # With one partition there is nothing to order, so its messages aren't searched for their times.
            times: Sequence[int] = [0] * len(payloads)
        else:
            times = plausible_times(times_of(payloads), self._future_skew_ms_max, self._agree)
        buffer.add(payloads, offsets, times, since_ms, past=past)

    def to_pause(self) -> list[int]:
        """Partitions of which enough waits; they are not named again until they were resumed."""
        full = [
            source
            for source, buffer in self._buffers.items()
            if not buffer.paused and len(buffer.payloads) >= self._buffer_max
        ]
        for source in full:
            self._buffers[source].paused = True
        return full

    def to_resume(self) -> list[int]:
        """Partitions that were paused and have room again."""
        room = [
            source
            for source, buffer in self._buffers.items()
            if buffer.paused and len(buffer.payloads) <= self._buffer_max * _RESUME_SHARE
        ]
        for source in room:
            self._buffers[source].paused = False
        return room

    def limit_batches(self, messages_max: int | None) -> None:
        """Hand out smaller batches from now on; None for those that were configured."""
        self._hand_out_max = self._batch_max if messages_max is None else messages_max

    @property
    def ready(self) -> bool:
        """Whether the next batch needs no further reading."""
        return self._at < len(self._ready.payloads)

    @property
    def holding(self) -> bool:
        """Whether some wait that the next call can hand on, so that reading need not wait for more."""
        return self._waits_since is None and any(buffer.payloads for buffer in self._buffers.values())

    def next_batch(self, behind: Callable[[int], bool]) -> Batch | None:
        """Return the next messages in their order; None when there are none, or some are to be waited for.

        Parameters
        ----------
        behind
            Whether a partition, by its number, is catching up with a past that was not read yet.
        """
        if self._at >= len(self._ready.payloads):
            self._ready, self._at = self._merge(behind), 0
        ready = self._ready
        if not ready.payloads:
            return None
        first, end = self._at, self._at + self._hand_out_max
        self._at = min(end, len(ready.payloads))
        batch = _batch(ready.between(first, end))
        if self._headers:
            batch.headers = self._headers_of(batch)
        return batch

    def _headers_of(self, batch: Batch) -> dict[int, PassedHeaders]:
        places, take = enumerate(zip(batch.sources, batch.offsets, strict=True)), self._headers.pop
        return {place: some for place, which in places if (some := take(which, None)) is not None}

    def _merge(self, behind: Callable[[int], bool]) -> _Ready:
        filled = [(source, buffer) for source, buffer in self._buffers.items() if buffer.payloads]
        if not filled:
            self._waits_since = None
            return _Ready([], [], [], [])
        if len(self._buffers) == 1:  # there is nothing to merge with
            source, buffer = filled[0]
            return buffer.cut(source, len(buffer.payloads))
        # Live messages are handed on as they come: waiting for an order would cost latency. Only a past that
        # is caught up with is merged, as windows would else be moved by one partition and be late for the
        # others.
        past = [each for each in filled if each[1].past]
        if not past:
            self._waits_since = None
        live = [(source, buffer, len(buffer.payloads)) for source, buffer in filled if not buffer.past]
        some = [*self._of_past(past, behind), *live] if past else live
        return _sorted(some)

    def _of_past(self, past: _Filled, behind: Callable[[int], bool]) -> Iterator[tuple[int, _Buffer, int]]:
        """Of each partition with a past how many of its messages are next; none while some are awaited."""
        if self._has_to_wait(behind):
            return
        limit = self._limit(past, behind)
        for source, buffer in past:
            yield source, buffer, bisect_right(buffer.keys, limit)

    def _has_to_wait(self, behind: Callable[[int], bool]) -> bool:
        """Whether the next message of the past may be one that isn't here yet."""
        # A partition that is behind and empty may hold the earliest message of all. It is waited for, but not
        # for ever: its broker may be gone, and the others' events must not wait for that.
        if not any(not buffer.payloads and behind(source) for source, buffer in self._buffers.items()):
            self._waits_since = None
            return False
        now = time.monotonic()
        if self._waits_since is None:
            self._waits_since = now
            self.waits += 1
        return now - self._waits_since < self._wait_s_max

    def _limit(self, past: _Filled, behind: Callable[[int], bool]) -> int:
        """Time up to which everything of the past is here; at least one message is within it."""
        # What comes later in a partition is later than what is here of it, or nearly so. So up to the least
        # of the last times nothing can be missing, and all of it may go, in the order of time.
        last = [buffer.keys[-1] for source, buffer in past if behind(source)]
        if len(last) < len(self._buffers):
            # Others are live already: they get their turn between portions of the past.
            most = self._batch_max
            last += [buffer.keys[most - 1] for _, buffer in past if len(buffer.keys) > most]
        return max(min(last, default=_NO_LIMIT), min(buffer.keys[0] for _, buffer in past))


def _sorted(counted: Sequence[tuple[int, _Buffer, int]]) -> _Ready:
    """Take so many messages out of each buffer, and put them in the order of their times."""
    if len(counted) == 1:
        source, buffer, count = counted[0]
        return buffer.cut(source, count)
    together = _Ready([], [], [], [])
    keys: list[int] = []
    for source, buffer, count in counted:
        keys += buffer.keys[:count]
        together.plus(buffer.cut(source, count))
    # Buffers were laid one behind the other in the order of their numbers, and the sort is stable: so equal
    # times always come out the same way.
    return together.ordered(sorted(range(len(keys)), key=keys.__getitem__))


def _batch(ready: _Ready) -> Batch:
    ends = dict(zip(ready.sources, ready.offsets, strict=True))  # of each source the last one
    return Batch(
        accepted_ms=time.time_ns() // 1_000_000,
        accepted_ns=time.perf_counter_ns(),
        ordinal=0,
        payloads=ready.payloads,
        sources=ready.sources,
        offsets=ready.offsets,
        lines=[0] * len(ready.payloads),
        marks=tuple(Mark(source, offset + 1, 0, 0) for source, offset in ends.items()),
        since_ms=ready.since_ms,
    )
