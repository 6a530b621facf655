"""Plain VMIS-kNN over sessions, moved by each click: what the engine is measured against.

It differs from Serenade in four ways. The index is not rebuilt daily, but takes each click as it comes, so
that a session's time is that of its newest click. The session that asks is no neighbour of its own. Of a
session only so many items are looked at, as Serenade's server does too. And where similarities or weights are
equal, the newer session, and then the item that was found first, go before; Serenade leaves that to chance.

References
----------
Kersbergen, Sprangers, Schelter: Serenade: low-latency session-based recommendation in e-commerce at scale.
SIGMOD (2022).
"""

from __future__ import annotations

from collections.abc import Collection
from heapq import nlargest
from itertools import islice
from math import log

__all__ = ["PlainVmis"]


class PlainVmis:
    """Nearest sessions, and the items that they speak for.

    Nothing is ever dropped, so it is for comparing, not for running.

    Parameters
    ----------
    sample_max
        Newest sessions of an item that are looked at (m of the paper), and of all items together.
    neighbours_max
        Most similar sessions whose items count (k of the paper).
    looked_at_max
        Different items at a session's end that find neighbours.
    """

    def __init__(self, *, sample_max: int = 1502, neighbours_max: int = 288, looked_at_max: int = 9) -> None:
        self._sample_max = sample_max
        self._neighbours_max = neighbours_max
        self._looked_at_max = looked_at_max
        self._items: dict[
            str, dict[str, None]
        ] = {}  # of a session, each once, the one clicked last at the end
        self._touched: dict[str, int] = {}  # number of a session's newest click
        self._sessions: dict[str, dict[str, None]] = {}  # of an item, the one clicked last at the end
        self._pairs = 0
        self._clicks = 0

    def take(self, session: str, item: str) -> None:
        """Learn from a click; it makes all items of its session as new as itself."""
        items = self._items.setdefault(session, {})
        self._pairs += item not in items
        items.pop(item, None)
        items[item] = None
        self._clicks += 1
        self._touched[session] = self._clicks
        for each in items:
            sessions = self._sessions.setdefault(each, {})
            sessions.pop(session, None)
            sessions[session] = None

    def neighbours(self, session: str) -> list[tuple[str, float]]:
        """Return the sessions most similar to this one with their similarities, the most similar first."""
        last = self._last(session)
        sample = self._sample(session, last)
        alike = dict.fromkeys(sample, 0)
        for place, item in enumerate(last):
            for other in self._newest(item):
                if other in alike:
                    alike[other] += len(last) - place
        # Whole numbers are compared, so that what is equal is no matter of rounding.
        nearest = nlargest(
            self._neighbours_max,
            ((other, summed) for other, summed in alike.items() if summed),
            key=lambda pair: (pair[1], self._touched[pair[0]]),
        )
        return [(other, summed / len(last)) for other, summed in nearest]

    def _sample(self, session: str, last: list[str]) -> list[str]:
        """Return the newest sessions among those that share an item with this one."""
        found = {other: self._touched[other] for item in last for other in self._newest(item)}
        found.pop(session, None)
        return nlargest(self._sample_max, found, key=found.__getitem__)

    def _newest(self, item: str) -> list[str]:
        # One more than the sample, as the session that asks is among them.
        return list(islice(reversed(self._sessions[item]), self._sample_max + 1))

    def _last(self, session: str) -> list[str]:
        """Its different items, the newest first."""
        return list(islice(reversed(self._items.get(session, {})), self._looked_at_max))

    def weights(self, session: str) -> dict[str, float]:
        """Return what each item of the neighbours weighs.

        Similarity by place of the match by rarity of the item.
        """
        last = self._last(session)
        weights: dict[str, float] = {}
        for other, similarity in self.neighbours(session):
            items = self._items[other]
            place = next(place for place, item in enumerate(last, 1) if item in items)
            counted = similarity * max(1.0 - 0.1 * place, 0.0)
            for item in items:
                weights[item] = weights.get(item, 0.0) + counted * self._rarity(item)
        return weights

    def _rarity(self, item: str) -> float:
        return log(self._pairs / len(self._sessions[item]))

    def rank(self, session: str, count: int = 20, excluded: Collection[str] = ()) -> list[str]:
        """Items for the session as it stands, best first.

        Parameters
        ----------
        session
            Its id.
        count
            How many at most.
        excluded
            Items that are left out.
        """
        weights = {item: weight for item, weight in self.weights(session).items() if item not in excluded}
        return nlargest(count, weights, key=weights.__getitem__)
