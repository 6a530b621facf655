"""The changes of a replay that are worth showing."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from headrace.shard.base import DAY_MS

__all__ = ["Examples"]

T = TypeVar("T")


class Examples:
    """The largest changes of each day.

    Parameters
    ----------
    examples_max
        How many of a day, by each size.
    """

    def __init__(self, examples_max: int) -> None:
        self._max = examples_max
        self._days: dict[int, dict[str, list[tuple[float, int, Any]]]] = {}
        self._added = 0

    def add(self, time_ms: int, sizes: Mapping[str, float], change: Any) -> None:
        """Take in a change with how large it is, by what that is measured."""
        self._added += 1
        day = self._days.setdefault(time_ms // DAY_MS, {})
        for by, size in sizes.items():
            # The count stands between, so that changes of one size are never compared; of these the first is
            # kept.
            entry, kept = (size, -self._added, change), day.setdefault(by, [])
            if len(kept) < self._max:
                heapq.heappush(kept, entry)
            elif kept:
                heapq.heappushpop(kept, entry)

    def kept(self) -> list[Any]:
        """All that are kept, some of them twice."""
        return [entry[2] for of in self._days.values() for heap in of.values() for entry in heap]

    def days(self, make: Callable[[Any], T]) -> dict[int, dict[str, list[T]]]:
        """All that are kept, the largest first, made into what is shown."""
        return {
            day: {by: [make(entry[2]) for entry in sorted(heap, reverse=True)] for by, heap in of.items()}
            for day, of in sorted(self._days.items())
        }
