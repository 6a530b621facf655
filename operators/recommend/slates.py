"""Lists that wait for what their session clicks next, and how they are evaluated by it."""

from __future__ import annotations

from collections.abc import Sequence
from math import log2
from typing import Final, Generic, NamedTuple, TypeVar

import msgspec

__all__ = [
    "Evaluated",
    "PendingSlates",
    "Shown",
    "SlateQuality",
    "SlateWindow",
    "quality_of_slates",
    "rank_of",
    "reciprocal",
]

_MINUTE_MS: Final = 60_000

T = TypeVar("T")


class Evaluated(NamedTuple):
    """A slate, and where in it the next click was.

    Attributes
    ----------
    rank
        From 1; 0 if the item was not on the slate.
    length
        Items of the slate.
    new
        Whether the item was new to the session.
    """

    rank: int
    length: int
    new: bool


class Shown(NamedTuple, Generic[T]):
    """A slate that went out: numbers of its items, or whatever is kept of it."""

    time_ms: int
    items: T


class PendingSlates(Generic[T]):
    """The last slate of each session, limited in age and in number.

    Attributes
    ----------
    expired, dropped_by_limit : int
        Slates whose session was quiet for too long, or of which there were too many.
    """

    def __init__(self) -> None:
        self._slates: dict[str, Shown[T]] = {}  # the oldest comes first
        self.expired = self.dropped_by_limit = 0
        self.configure(1, 1.0)

    def configure(self, slates_max: int, minutes_max: float) -> None:
        """Change the limits."""
        self._slates_max, self._age_ms_max = slates_max, round(minutes_max * _MINUTE_MS)

    def __len__(self) -> int:
        return len(self._slates)

    def of(self, session: str) -> Shown[T] | None:
        """Return the session's last slate."""
        return self._slates.get(session)

    def take(self, session: str, now_ms: int) -> Shown[T] | None:
        """Return the session's last slate, which waits no longer.

        None if there is none that is young enough.
        """
        shown = self._slates.pop(session, None)
        if shown is not None and now_ms - shown.time_ms > self._age_ms_max:
            self.expired += 1
            return None
        return shown

    def waits(self, session: str, now_ms: int) -> bool:
        """Whether `take` would give a slate."""
        shown = self._slates.get(session)
        return shown is not None and now_ms - shown.time_ms <= self._age_ms_max

    def put(self, session: str, time_ms: int, items: T) -> None:
        """Let a slate wait, and drop at most two that are too old or too many."""
        slates = self._slates
        slates.pop(session, None)
        slates[session] = Shown(time_ms, items)
        # Two a slate: more come out than go in, so it shrinks to a lowered limit, and no single slate pays
        # for that.
        for _ in range(2):
            oldest = next(iter(slates))
            if len(slates) > self._slates_max:
                self.dropped_by_limit += 1
            elif time_ms - slates[oldest].time_ms > self._age_ms_max:
                self.expired += 1
            else:
                return
            del slates[oldest]

    def put_back(self, to_ms: int) -> int:
        """Give slates from after a time that time; say how many."""
        ahead = [session for session, shown in self._slates.items() if shown.time_ms > to_ms]
        for session in ahead:
            self._slates[session] = self._slates[session]._replace(time_ms=to_ms)
        return len(ahead)

    def forget(self, session: str) -> None:
        """Drop a session's slate."""
        self._slates.pop(session, None)

    def save(self) -> bytes:
        """Return the state as bytes."""
        slates = [[session, *shown] for session, shown in self._slates.items()]
        return msgspec.msgpack.encode([slates, self.expired, self.dropped_by_limit])

    def load(self, saved: bytes) -> None:
        """Take over a saved state."""
        slates, self.expired, self.dropped_by_limit = msgspec.msgpack.decode(saved)
        self._slates = {session: Shown(time_ms, items) for session, time_ms, items in slates}


class SlateQuality(NamedTuple):
    """How well slates foresaw the next click; slates that no click followed are not evaluated.

    Attributes
    ----------
    hit_rate
        Share of next clicks that were on the slate.
    mrr
        Mean of 1 / rank, 0 where the click was not on it.
    ndcg
        Mean of 1 / log2(1 + rank), as there is one right item.
    new_hit_rate, new_mrr
        The same, of clicks on items that were new to their session; None before there was any.
    length
        Mean number of items.
    slates, new_slates
        How many were evaluated; of them, how many that were followed by a click on such an item.
    """

    hit_rate: float
    mrr: float
    ndcg: float
    new_hit_rate: float | None
    new_mrr: float | None
    length: float
    slates: int
    new_slates: int


class SlateWindow:
    """The last evaluated slates, for their quality.

    Parameters
    ----------
    slates_max
        How many are kept; each takes 3 bytes.

    Examples
    --------
    >>> window = SlateWindow(10)
    >>> window.extend([Evaluated(1, 20, False), Evaluated(2, 20, True), Evaluated(0, 20, True)])
    >>> quality = window.quality()
    >>> round(quality.hit_rate, 2), quality.mrr, quality.new_mrr, quality.slates
    (0.67, 0.5, 0.25, 3)
    """

    def __init__(self, slates_max: int) -> None:
        self._slates_max = slates_max
        self._ring = bytearray(3 * slates_max)  # rank, length, new
        self.evaluated = 0

    def extend(self, evaluated: Sequence[Evaluated]) -> None:
        """Take in evaluated slates."""
        for each in evaluated:
            at = 3 * (self.evaluated % self._slates_max)
            # A byte each: the metrics' thread copies the window while it moves on, and that is one short
            # copy.
            self._ring[at : at + 3] = bytes((min(each.rank, 255), min(each.length, 255), each.new))
            self.evaluated += 1

    def copy(self) -> SlateWindow:
        """Return the same window, to compute from while this one goes on."""
        twin = SlateWindow(0)
        twin._slates_max, twin._ring, twin.evaluated = self._slates_max, self._ring[:], self.evaluated
        return twin

    def quality(self) -> SlateQuality | None:
        """Return the quality over the window; None while it is empty."""
        held = min(self.evaluated, self._slates_max)
        if not held:
            return None
        ranks, lengths, new = (self._ring[part : 3 * held : 3] for part in range(3))
        fresh = [rank for rank, is_new in zip(ranks, new, strict=True) if is_new]
        return SlateQuality(
            hit_rate=_mean([1.0 if rank else 0.0 for rank in ranks]),
            mrr=_mean([reciprocal(rank) for rank in ranks]),
            ndcg=_mean([1.0 / log2(1 + rank) if rank else 0.0 for rank in ranks]),
            new_hit_rate=_mean([1.0 if rank else 0.0 for rank in fresh]) if fresh else None,
            new_mrr=_mean([reciprocal(rank) for rank in fresh]) if fresh else None,
            length=_mean(list(map(float, lengths))),
            slates=held,
            new_slates=len(fresh),
        )


def quality_of_slates(parts: Sequence[SlateQuality]) -> SlateQuality | None:
    """Return the quality over several windows, as if one had evaluated all their slates.

    None if there are none.
    """
    if not parts:
        return None
    counts, new = [each.slates for each in parts], [each.new_slates for each in parts]
    return SlateQuality(
        hit_rate=_weighted([each.hit_rate for each in parts], counts),
        mrr=_weighted([each.mrr for each in parts], counts),
        ndcg=_weighted([each.ndcg for each in parts], counts),
        new_hit_rate=_weighted([each.new_hit_rate or 0.0 for each in parts], new) if any(new) else None,
        new_mrr=_weighted([each.new_mrr or 0.0 for each in parts], new) if any(new) else None,
        length=_weighted([each.length for each in parts], counts),
        slates=sum(counts),
        new_slates=sum(new),
    )


def rank_of(item: T, items: Sequence[T]) -> int:
    """Where an item stands on a slate, from 1; 0 if it isn't on it."""
    return items.index(item) + 1 if item in items else 0


def reciprocal(rank: int) -> float:
    """Return what a rank is worth: 1 / rank, and 0 where the item wasn't on the slate."""
    return 1.0 / rank if rank else 0.0


def _weighted(values: Sequence[float], counts: Sequence[int]) -> float:
    return sum(value * count for value, count in zip(values, counts, strict=True)) / sum(counts)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
