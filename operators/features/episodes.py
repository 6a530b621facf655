"""An entity's confirmed outcomes in the order of their confirmation: the streak of frauds at its end."""

from __future__ import annotations

from array import array
from typing import Final

__all__ = ["HISTORY", "NUMBER_AT", "NUMBER_MASK", "Episodes"]

HISTORY: Final = 16  # confirmed outcomes kept for each entity, needed only when a label is corrected
NUMBER_AT: Final = 43
NUMBER_MASK: Final = (1 << 20) - 1
_TIME_MASK: Final = (1 << 42) - 1  # milliseconds up to the year 2109


class Episodes:
    """Columns for the length and the first of the running streak of frauds, and the last legitimate payment.

    Times are those of the payments, in milliseconds; 0 means none. A correction looks at the last 16
    confirmed outcomes; one that is older leaves the streak as it is. An entry of the history holds the label
    in its lowest bit, then the time, and above it 20 bits of the payment's number, which tell two payments of
    one time apart.
    """

    __slots__ = ("first", "history", "legitimate", "seen", "streak")

    def __init__(
        self,
        streak: array[int],
        first: array[int],
        legitimate: array[int],
        history: array[int],
        seen: array[int],
    ) -> None:
        self.streak, self.first, self.legitimate = streak, first, legitimate
        self.history, self.seen = history, seen

    def label(self, row: int, number: int, time_ms: int, label: int) -> None:
        """Take in a confirmed outcome of a payment of that number and time."""
        seen = self.seen[row]
        self.history[row * HISTORY + seen % HISTORY] = _entry(number, time_ms, label)
        self.seen[row] = seen + 1
        if label:
            if not self.streak[row]:
                self.first[row] = time_ms
            self.streak[row] += 1
        else:
            self.streak[row] = 0
            self.first[row] = 0
            self.legitimate[row] = max(self.legitimate[row], time_ms)

    def relabel(self, row: int, number: int, time_ms: int, old: int | None, new: int | None) -> None:
        """Replace a confirmed outcome; None where the outcome doesn't count for this entity."""
        entries = self._entries(row)
        if old is None:
            if new is not None:
                self.label(row, number, time_ms, new)
            return
        was = _entry(number, time_ms, old)
        # It has left the history, or the row has another owner by now; what isn't known can't be taken back.
        if was not in entries:
            return
        # A streak can't be corrected by counting: a label in its middle splits it, or joins two. So the last
        # outcomes are kept, and everything is derived from them again.
        place = entries.index(was)
        entries[place : place + 1] = [] if new is None else [_entry(number, time_ms, new)]
        self._rebuild(row, entries)

    def _entries(self, row: int) -> list[int]:
        seen, base = self.seen[row], row * HISTORY
        return [self.history[base + number % HISTORY] for number in range(max(0, seen - HISTORY), seen)]

    def _rebuild(self, row: int, entries: list[int]) -> None:
        base = row * HISTORY
        for number, entry in enumerate(entries):
            self.history[base + number] = entry
        self.seen[row] = len(entries)
        # What had fallen out of the history is not counted again: after a correction the streak is at most as
        # long as the history.
        last_legitimate = max((place for place, entry in enumerate(entries) if not entry & 1), default=-1)
        run = entries[last_legitimate + 1 :]
        self.streak[row] = len(run)
        self.first[row] = _time_of(run[0]) if run else 0
        self.legitimate[row] = max((_time_of(entry) for entry in entries if not entry & 1), default=0)


def _entry(number: int, time_ms: int, label: int) -> int:
    return (number & NUMBER_MASK) << NUMBER_AT | time_ms << 1 | label


def _time_of(entry: int) -> int:
    return entry >> 1 & _TIME_MASK
