"""A histogram of latencies in fixed memory."""

from __future__ import annotations

from math import ceil, log10
from typing import Final

__all__ = ["LatencyHistogram"]

_LOWEST_NS: Final = 1_000  # 1 us
_DECADES: Final = 8  # to 100 s
_BUCKETS_PER_DECADE: Final = 100
_BUCKETS: Final = _DECADES * _BUCKETS_PER_DECADE


class LatencyHistogram:
    """Latencies from 1 us to 100 s in 800 logarithmic buckets, each 2.3 % wide.

    What lies outside counts in the first or the last bucket. A percentile is the upper end of its bucket,
    so that it is never too low, and at most 2.3 % too high.

    Examples
    --------
    >>> latencies = LatencyHistogram()
    >>> latencies.record(2_000_000, 99)
    >>> latencies.record(50_000_000)
    >>> round(latencies.percentile_ms(50), 1), round(latencies.percentile_ms(100), 1)
    (2.0, 50.0)
    """

    __slots__ = ("counts", "ns_max", "total")

    def __init__(self) -> None:
        self.counts = [0] * _BUCKETS
        self.total = 0
        self.ns_max = 0

    def record(self, ns: int, count: int = 1) -> None:
        """Count a latency in nanoseconds, for as many decisions as had it."""
        self.counts[_bucket(ns)] += count
        self.total += count
        self.ns_max = max(self.ns_max, ns)

    def merge(self, other: LatencyHistogram) -> None:
        """Add what another histogram counted."""
        self.counts = [mine + theirs for mine, theirs in zip(self.counts, other.counts, strict=True)]
        self.total += other.total
        self.ns_max = max(self.ns_max, other.ns_max)

    def percentile_ms(self, percent: float) -> float:
        """Return the latency that so many per cent don't exceed, in milliseconds.

        0 when nothing was counted.
        """
        # Rounded first: a product that comes out a hair above a whole number would give the next rank.
        wanted = max(1, ceil(round(self.total * percent / 100.0, 6)))
        seen = 0
        for bucket, count in enumerate(self.counts):
            seen += count
            if seen >= wanted:
                return min(_upper_ns(bucket), self.ns_max) / 1e6
        return 0.0


def _bucket(ns: int) -> int:
    if ns <= _LOWEST_NS:
        return 0
    return min(_BUCKETS - 1, int(log10(ns / _LOWEST_NS) * _BUCKETS_PER_DECADE))


def _upper_ns(bucket: int) -> float:
    # The last bucket is open; the highest latency seen is its end.
    return float("inf") if bucket == _BUCKETS - 1 else _LOWEST_NS * 10 ** ((bucket + 1) / _BUCKETS_PER_DECADE)
