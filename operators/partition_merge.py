"""Merges partitions by event time while they are behind, and lets nothing wait once they aren't.

From the past, messages of several partitions go on in the order of their event times, so that a run that
catches up learns in the order in which a live one would have. A partition that was read to its end is not
waited for.
"""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate
from typing import Final

from headrace.operators.batches import Batch, Mark
from headrace.operators.event_times import believable, times_of

__all__ = ["PartitionMerge"]

_NO_LIMIT: Final = 1 << 62
# Resumed only when there is room for more than a few messages: what was fetched ahead is fetched once more.
_RESUME_SHARE: Final = 0.25


class _Buffer:
    """Messages of one partition that were read and not handed on."""

    __slots__ = ("keys", "last", "offsets", "paused", "payloads")

    def __init__(self) -> None:
        self.payloads: list[bytes] = []
        self.offsets: list[int] = []
        self.keys: list[int] = []
        self.last = 0
        self.paused = False

    def add(self, payloads: Sequence[bytes], offsets: Sequence[int], times: Sequence[int]) -> None:
        self.payloads += payloads
        self.offsets += offsets
        # The order within a partition stays, so a message can't go before one with a later time.
        keys = list(accumulate(times, max, initial=self.last))[1:]
        self.keys += keys
        self.last = keys[-1]

    def cut(self, count: int) -> tuple[list[bytes], list[int], list[int]]:
        """Take the first messages out."""
        taken = self.payloads[:count], self.offsets[:count], self.keys[:count]
        del self.payloads[:count], self.offsets[:count], self.keys[:count]
        return taken


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
    ahead_ms_max, agree_messages
        A time that runs ahead of the messages soon after it by more is not believed.
    """

    def __init__(
        self,
        sources: Iterable[int],
        *,
        batch_messages_max: int,
        buffer_messages_max: int,
        wait_ms_max: int,
        ahead_ms_max: int,
        agree_messages: int,
    ) -> None:
        self._buffers = {source: _Buffer() for source in sources}
        self._batch_max, self._buffer_max = batch_messages_max, buffer_messages_max
        self._wait_s_max = wait_ms_max / 1000
        self._ahead_ms_max, self._agree = ahead_ms_max, agree_messages
        self._waits_since: float | None = None
        self._ready: tuple[list[bytes], list[int], list[int]] = ([], [], [])
        self._at = 0

    def extend(self, source: int, payloads: Sequence[bytes], offsets: Sequence[int]) -> None:
        """Take messages of a partition in, ascending by offset."""
        if not payloads:
            return
        buffer = self._buffers.setdefault(source, _Buffer())
        if len(self._buffers) == 1:
            times: Sequence[int] = [0] * len(payloads)
        else:
            times = believable(times_of(payloads), self._ahead_ms_max, self._agree)
        buffer.add(payloads, offsets, times)

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

    @property
    def ready(self) -> bool:
        """Whether the next batch needs no further reading."""
        return self._at < len(self._ready[0])

    def next_batch(self, behind: Callable[[int], bool]) -> Batch | None:
        """The next messages in their order; None when there are none, or some are to be waited for.

        Parameters
        ----------
        behind
            Whether a partition, by its number, still has messages that were not read.
        """
        if self._at >= len(self._ready[0]):
            self._ready, self._at = self._merge(behind), 0
        payloads, sources, offsets = self._ready
        if not payloads:
            return None
        first, end = self._at, self._at + self._batch_max
        self._at = min(end, len(payloads))
        return _batch(payloads[first:end], sources[first:end], offsets[first:end])

    def _merge(self, behind: Callable[[int], bool]) -> tuple[list[bytes], list[int], list[int]]:
        filled = [(source, buffer) for source, buffer in self._buffers.items() if buffer.payloads]
        if not filled:
            self._waits_since = None
            return [], [], []
        if len(self._buffers) == 1:  # there is nothing to merge with
            source, buffer = filled[0]
            payloads, offsets, _ = buffer.cut(len(buffer.payloads))
            return payloads, [source] * len(payloads), offsets
        if self._has_to_wait(behind):
            return [], [], []
        limit = self._limit(filled, behind)
        if len(filled) == 1:
            source, buffer = filled[0]
            payloads, offsets, _ = buffer.cut(bisect_right(buffer.keys, limit))
            return payloads, [source] * len(payloads), offsets
        return _sorted(filled, limit)

    def _has_to_wait(self, behind: Callable[[int], bool]) -> bool:
        """Whether the next message may be one that isn't here yet."""
        if not any(not buffer.payloads and behind(source) for source, buffer in self._buffers.items()):
            self._waits_since = None
            return False
        now = time.monotonic()
        if self._waits_since is None:
            self._waits_since = now
        return now - self._waits_since < self._wait_s_max

    @staticmethod
    def _limit(filled: Sequence[tuple[int, _Buffer]], behind: Callable[[int], bool]) -> int:
        """Time up to which everything is here; at least one message is within it."""
        last = [buffer.keys[-1] for source, buffer in filled if behind(source)]
        limit = min(last, default=_NO_LIMIT)
        return max(limit, min(buffer.keys[0] for _, buffer in filled))


def _sorted(filled: Sequence[tuple[int, _Buffer]], limit: int) -> tuple[list[bytes], list[int], list[int]]:
    payloads: list[bytes] = []
    sources: list[int] = []
    offsets: list[int] = []
    keys: list[int] = []
    for source, buffer in filled:
        some, places, times = buffer.cut(bisect_right(buffer.keys, limit))
        payloads += some
        offsets += places
        keys += times
        sources += [source] * len(some)
    order = sorted(range(len(keys)), key=keys.__getitem__)
    return [payloads[at] for at in order], [sources[at] for at in order], [offsets[at] for at in order]


def _batch(payloads: list[bytes], sources: list[int], offsets: list[int]) -> Batch:
    ends = dict(zip(sources, offsets, strict=True))  # of each source the last one
    return Batch(
        accepted_ms=time.time_ns() // 1_000_000,
        accepted_ns=time.perf_counter_ns(),
        ordinal=0,
        payloads=payloads,
        sources=sources,
        offsets=offsets,
        lines=[0] * len(payloads),
        marks=tuple(Mark(source, offset + 1, 0, 0) for source, offset in ends.items()),
    )
