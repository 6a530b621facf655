"""The memory of event ids, to tell duplicates and conflicts from new events."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from enum import IntEnum
from itertools import filterfalse

import msgspec

__all__ = ["VERSIONS_MAX", "IdMemory", "Known"]

_MINUTE_MS = 60_000
# One would never catch up when the limit is lowered; all at once would hold up a single event.
_DROPPED_PER_EVENT_MAX = 2
# An entry is one integer of 64 bits: 5 of the version, 27 of the minute, 32 of the digest.
_VERSION_SHIFT = 59
_MINUTE_SHIFT = 32
_MINUTE_MASK = (1 << _VERSION_SHIFT - _MINUTE_SHIFT) - 1
VERSIONS_MAX = 32
"""Versions of a type's contract that ids of one memory may have."""


class Known(IntEnum):
    """What the memory says of an id."""

    NEW = 0
    DUPLICATE = 1
    CONFLICT = 2


class IdMemory:
    """Ids of one event type with a 32-bit digest of their content, limited in age and in number.

    An id is remembered for `age_ms_max` of event time (to the minute) after it was added, unless more than
    `ids_max` newer ones push it out first. Digest, minute and version share one integer, so that an id costs
    one dictionary entry and one place in a queue.

    Parameters
    ----------
    ids_max
        How many ids are kept at most.
    age_ms_max
        How long an id is kept at most, milliseconds of event time.

    Attributes
    ----------
    version
        Number of the contract's version that the digests of new ids are made by, 0 to `VERSIONS_MAX` - 1.
    """

    __slots__ = ("_age_minutes", "_ids_max", "_mark", "_oldest", "_order", "dropped_by_limit", "ids")

    def __init__(self, ids_max: int, age_ms_max: int) -> None:
        self.configure(ids_max, age_ms_max)
        self._mark = 0
        self.ids: dict[str, int] = {}
        self._order: deque[str] = deque()
        self._oldest = 0  # the minute of the oldest id; too low a one only makes it be looked at
        self.dropped_by_limit = 0

    def configure(self, ids_max: int, age_ms_max: int) -> None:
        """Change the limits; they hold from the next id on."""
        self._ids_max, self._age_minutes = ids_max, age_ms_max // _MINUTE_MS

    @property
    def version(self) -> int:
        """Return the version that new ids get."""
        return self._mark >> _VERSION_SHIFT

    @version.setter
    def version(self, version: int) -> None:
        self._mark = version << _VERSION_SHIFT

    def version_of(self, event_id: str) -> int:
        """Return the version that the digest of a known id was made by."""
        return self.ids[event_id] >> _VERSION_SHIFT

    def versions(self) -> set[int]:
        """Return the versions that ids have; it looks at all of them."""
        return {entry >> _VERSION_SHIFT for entry in self.ids.values()}

    def give_version(self, before: int, now: int) -> None:
        """Give ids of one version another one; it looks at all of them."""
        for event_id, entry in self.ids.items():
            if entry >> _VERSION_SHIFT == before:
                self.ids[event_id] = entry & ((1 << _VERSION_SHIFT) - 1) | now << _VERSION_SHIFT

    def outlived(self, now_ms: int) -> bool:
        """Whether every id is older than it is remembered for."""
        if not self._order:
            return True
        newest = _minute(self.ids[self._order[-1]])
        return now_ms // _MINUTE_MS - newest > self._age_minutes

    def __len__(self) -> int:
        return len(self.ids)

    def known(self, event_id: str, digest: int) -> Known:
        """Say whether the id is new, a duplicate with the same content, or the same id with other content."""
        entry = self.ids.get(event_id)
        if entry is None:
            return Known.NEW
        return Known.DUPLICATE if entry & 0xFFFFFFFF == digest else Known.CONFLICT

    def add(self, event_id: str, digest: int, now_ms: int) -> None:
        """Remember a new id, and drop at most two that are too old or too many."""
        ids, minute, age = self.ids, now_ms // _MINUTE_MS, self._age_minutes
        # All in one integer: a tuple for each of a million ids would take several times the memory.
        ids[event_id] = minute << 32 | digest | self._mark
        self._order.append(event_id)
        # One from as far ahead was added before the clock had started, by an event that proved wrong.
        if minute - self._oldest > age or self._oldest - minute > age or len(ids) > self._ids_max:
            self._drop(minute)

    def _drop(self, minute: int) -> None:
        ids, order, age = self.ids, self._order, self._age_minutes
        for _ in range(_DROPPED_PER_EVENT_MAX):
            too_many = len(ids) > self._ids_max
            self._oldest = _minute(ids[order[0]])
            if not too_many and -age <= self._oldest - minute <= age:
                return
            del ids[order.popleft()]
            self.dropped_by_limit += too_many
        self._oldest = _minute(ids[order[0]]) if order else minute

    def forget(self, event_ids: Collection[str]) -> None:
        """Forget ids, as if they had never come; those that aren't known don't matter."""
        gone = frozenset(event_id for event_id in event_ids if self.ids.pop(event_id, None) is not None)
        if gone:
            # Rebuilt as a whole, since `_drop` relies on every id of the order being known.
            self._order = deque(filterfalse(gone.__contains__, self._order))

    def save(self) -> bytes:
        """Return the state as bytes, in the order in which the ids were added."""
        ids = self.ids
        return msgspec.msgpack.encode(
            (list(self._order), [ids[event_id] for event_id in self._order], self.dropped_by_limit)
        )

    def load(self, saved: bytes) -> None:
        """Take over a saved state."""
        order, values, self.dropped_by_limit = msgspec.msgpack.decode(
            saved, type=tuple[list[str], list[int], int]
        )
        self._order = deque(order)
        self.ids = dict(zip(order, values, strict=True))
        self._oldest = _minute(values[0]) if values else 0


def _minute(entry: int) -> int:
    return entry >> _MINUTE_SHIFT & _MINUTE_MASK
