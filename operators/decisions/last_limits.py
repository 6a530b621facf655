"""The limit that each customer was granted last, in bounded memory."""

from __future__ import annotations

from collections.abc import Collection

import msgspec

__all__ = ["LastLimits"]


class LastLimits:
    """What was granted last, by customer; beyond the limit who was granted nothing for longest goes.

    Parameters
    ----------
    entries_max
        How many are kept.

    Attributes
    ----------
    dropped
        How many went for the limit.
    """

    def __init__(self, entries_max: int) -> None:
        self.entries_max = entries_max
        self.dropped = 0
        self._limits: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._limits)

    def of(self, party: str | None) -> float | None:
        """Return what was granted last; None for nobody, and for nothing yet."""
        return None if party is None else self._limits.get(party)

    def take(self, party: str | None, limit: float) -> None:
        """Take note of what is granted."""
        if party is None:
            return
        # A dictionary keeps the order of insertion: taken out and put in anew, the last one granted is last.
        self._limits.pop(party, None)
        self._limits[party] = limit
        while len(self._limits) > self.entries_max:
            del self._limits[next(iter(self._limits))]
            self.dropped += 1

    def forget(self, parties: Collection[str]) -> None:
        """Forget some of them."""
        for party in parties:
            self._limits.pop(party, None)

    def save(self) -> bytes:
        """Return the state as bytes."""
        return msgspec.msgpack.encode((self.dropped, list(self._limits.items())))

    def load(self, saved: bytes) -> None:
        """Take over a saved state."""
        self.dropped, limits = msgspec.msgpack.decode(saved, type=tuple[int, list[tuple[str, float]]])
        self._limits = dict(limits)
