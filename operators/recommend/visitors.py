"""What is kept of visitors beside sessions: what known customers clicked, what was bought, who is a bot."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

__all__ = ["Bots", "Visitors"]

_MINUTE_MS: Final = 60_000


class _Recent:
    """Of each key its last different items, the newest last; the key idle for longest makes room."""

    def __init__(self) -> None:
        self.of: dict[str, list[int]] = {}
        self.dropped = 0

    def add(self, key: str, item: int, items_max: int, keys_max: int) -> None:
        items = self.of.pop(key, None) or []
        if item in items:
            items.remove(item)
        items.append(item)
        del items[:-items_max]
        self.of[key] = items
        while len(self.of) > keys_max:
            del self.of[next(iter(self.of))]
            self.dropped += 1


class Visitors:
    """The past of known customers, and what customers and sessions bought.

    Nothing is kept of a customer for a session of which no event names one.
    """

    def __init__(self) -> None:
        self._clicked, self._bought = _Recent(), _Recent()
        self.configure(1, 0, 1)

    def configure(self, customers_max: int, past_items_max: int, bought_items_max: int) -> None:
        """Change the limits."""
        self._customers_max = customers_max
        self._past_items_max, self._bought_items_max = past_items_max, bought_items_max

    @property
    def dropped(self) -> int:
        """Customers, and buyers, of which there were too many."""
        return self._clicked.dropped + self._bought.dropped

    def clicked(self, customer: str, item: int) -> None:
        """Take note of a known customer's click."""
        if self._past_items_max:
            self._clicked.add(customer, item, self._past_items_max, self._customers_max)

    def past(self, customer: str) -> list[int]:
        """Return what the customer clicked last, the newest first."""
        return self._clicked.of.get(customer, [])[::-1]

    def buys(self, customer: str, session: str | None, items: Iterable[int]) -> None:
        """Take note of an order."""
        for key in _keys(customer, session):
            for item in items:
                self._bought.add(key, item, self._bought_items_max, self._customers_max)

    def bought(self, customer: str | None, session: str) -> Sequence[int]:
        """Return what the session, or its known customer, has bought."""
        return [item for key in _keys(customer, session) for item in self._bought.of.get(key, ())]

    def forget(self, customer: str, sessions: Iterable[str]) -> None:
        """Drop a customer, and sessions."""
        self._clicked.of.pop(customer, None)
        for key in (*_keys(customer, None), *(key for each in sessions for key in _keys(None, each))):
            self._bought.of.pop(key, None)

    def save(self) -> list[Any]:
        """Return the state."""
        return [[list(each.of.items()), each.dropped] for each in (self._clicked, self._bought)]

    def load(self, saved: list[Any]) -> None:
        """Take over a saved state."""
        for each, (items, dropped) in zip((self._clicked, self._bought), saved, strict=True):
            each.of, each.dropped = dict(items), dropped


def _keys(customer: str | None, session: str | None) -> list[str]:
    return [mark + each for mark, each in (("c:", customer), ("s:", session)) if each is not None]


class Bots:
    """How many clicks a session made in about the last minute, by two buckets.

    The bucket before counts as far as it reaches into the minute, as if its clicks were spread evenly.

    Examples
    --------
    >>> bots = Bots(sessions_max=10)
    >>> [bots.clicks("s", 1000 * second) for second in (0, 1, 61, 90)]
    [1, 2, 2, 3]
    """

    def __init__(self, sessions_max: int) -> None:
        self.sessions_max = sessions_max
        self._counts: dict[str, tuple[int, int, int]] = {}  # minute, clicks in it, and in the one before

    def clicks(self, session: str, at_ms: int) -> int:
        """Count a click, and say how many there were in the minute that it ends."""
        last, now, before = self._counted(session, at_ms)
        # The session with the oldest click stands first, and is what a full memory forgets.
        self._counts.pop(session, None)
        self._counts[session] = last, now, before
        while len(self._counts) > self.sessions_max:
            del self._counts[next(iter(self._counts))]
        return _in_a_minute(now, before, at_ms)

    def with_one_more(self, session: str, at_ms: int) -> int:
        """How many there would be with a click that isn't counted yet."""
        _, now, before = self._counted(session, at_ms)
        return _in_a_minute(now, before, at_ms)

    def _counted(self, session: str, at_ms: int) -> tuple[int, int, int]:
        """Return the session's minute, and the clicks in it and in the one before, with one more."""
        minute = at_ms // _MINUTE_MS
        last, now, before = self._counts.get(session, (minute, 0, 0))
        if minute > last:
            return minute, 1, now if minute == last + 1 else 0
        return last, now + 1, before

    def forget(self, session: str) -> None:
        """Drop a session."""
        self._counts.pop(session, None)

    def save(self) -> list[Any]:
        """Return the state."""
        return [[session, *counts] for session, counts in self._counts.items()]

    def load(self, saved: list[Any]) -> None:
        """Take over a saved state."""
        self._counts = {session: (last, now, before) for session, last, now, before in saved}


def _in_a_minute(now: int, before: int, at_ms: int) -> int:
    into_ms = at_ms % _MINUTE_MS
    # As if the clicks of the minute before had been spread evenly over it; exact counts would need each
    # click's time.
    return now + before * (_MINUTE_MS - into_ms) // _MINUTE_MS
