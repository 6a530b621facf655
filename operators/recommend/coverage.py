"""How many of the items slates cover, and how much they prefer those that are popular anyway."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import msgspec

__all__ = ["Coverage", "Popularity"]

_SHARE: Final = 0.001  # of the newest slate in the running means
_DAY_MS: Final = 86_400_000
Heat = Callable[[int, float], float]


class Popularity(NamedTuple):
    """Running means over about the last thousand slates, in clicks that still count for what is trending.

    Attributes
    ----------
    shown
        Of the items of a slate.
    clicked
        Of the items that asked for slates.
    """

    shown: float
    clicked: float


class Coverage:
    """Which items slates have shown, and how popular they were.

    Parameters
    ----------
    items_max
        Items that are remembered as shown; those shown longest ago make room.

    Examples
    --------
    >>> coverage = Coverage(10)
    >>> coverage.note([1, 2], 3, 1000, {1: 8.0, 2: 4.0, 3: 2.0}.get)
    >>> coverage.shown_since(0), coverage.popularity
    (2, Popularity(shown=6.0, clicked=2.0))
    """

    def __init__(self, items_max: int) -> None:
        self.items_max = items_max
        self._shown_ms: dict[int, int] = {}  # the item shown longest ago comes first
        self.popularity = Popularity(0.0, 0.0)
        self._slates = 0

    def note(self, items: Sequence[int], clicked: int, at_ms: int, heat: Heat) -> None:
        """Take note of a slate; `heat` gives an item's popularity, or else the default that it is given."""
        if not items:
            return
        shown_ms = self._shown_ms
        total = 0.0
        for item in items:
            total += heat(item, 0.0)
            shown_ms.pop(item, None)
            # Taken out and put in again: the mapping is in the order of last showing, and what goes first is
            # in front.
            shown_ms[item] = at_ms
        while len(shown_ms) > self.items_max:
            del shown_ms[next(iter(shown_ms))]
        self._slates += 1
        # A plain mean over the first thousand, so that the first slate doesn't weigh on a running one for
        # long.
        share = max(_SHARE, 1.0 / self._slates)
        shown, asked = self.popularity
        self.popularity = Popularity(
            shown + share * (total / len(items) - shown), asked + share * (heat(clicked, 0.0) - asked)
        )

    def put_back(self, to_ms: int) -> int:
        """Give what was shown after a time that time; say how many items."""
        ahead = [item for item, at_ms in self._shown_ms.items() if at_ms > to_ms]
        self._shown_ms |= dict.fromkeys(ahead, to_ms)
        return len(ahead)

    def shown_since(self, since_ms: int) -> int:
        """How many different items slates have shown since a time; what is noted meanwhile does no harm."""
        return sum(at_ms >= since_ms for at_ms in self._shown_ms.copy().values())

    def shown_of_late(self, now_ms: int) -> int:
        """How many in the last day of event time."""
        return self.shown_since(now_ms - _DAY_MS)

    def save(self) -> bytes:
        """Return the state as bytes."""
        return msgspec.msgpack.encode([list(self._shown_ms.items()), self.popularity, self._slates])

    def load(self, saved: bytes) -> None:
        """Take over a saved state."""
        shown, popularity, self._slates = msgspec.msgpack.decode(saved)
        self._shown_ms, self.popularity = dict(shown), Popularity(*popularity)
