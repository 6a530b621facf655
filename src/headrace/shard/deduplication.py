"""The memory of event ids, to tell duplicates and conflicts from new events."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from enum import IntEnum
from itertools import filterfalse

import msgspec

__all__ = ["IdMemory", "Known"]

_MINUTE_MS = 60_000
# One would never catch up when the limit is lowered; all at once would hold up a single event.
_DROPPED_PER_EVENT_MAX = 2


class Known(IntEnum):
    """What the memory says of an id."""

    NEW = 0
    DUPLICATE = 1
    CONFLICT = 2


class IdMemory:
    """Ids of one event type with a 32-bit digest of their content, limited in age and in number.

    An id is remembered for `age_ms_max` of event time (to the minute) after it was added, unless more than
    `ids_max` newer ones push it out first. A digest and a minute share one integer, so that an id costs one
    dictionary entry and one place in a queue.

    Parameters
    ----------
    ids_max
        How many ids are kept at most.
    age_ms_max
        How long an id is kept at most, milliseconds of event time.
    """

    __slots__ = ("_age_minutes", "_ids_max", "_oldest", "_order", "dropped_by_limit", "ids")

    def __init__(self, ids_max: int, age_ms_max: int) -> None:
        self.configure(ids_max, age_ms_max)
        self.ids: dict[str, int] = {}
        self._order: deque[str] = deque()
        self._oldest = 0  # the minute of the oldest id; too low a one only makes it be looked at
        self.dropped_by_limit = 0

    def configure(self, ids_max: int, age_ms_max: int) -> None:
        """Change the limits; they hold from the next id on."""
        self._ids_max, self._age_minutes = ids_max, age_ms_max // _MINUTE_MS

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
        # Minute and digest in one integer: a tuple for each of a million ids would take several times the
        # memory.
        ids[event_id] = minute << 32 | digest
        self._order.append(event_id)
        # One from as far ahead was added before the clock had started, by an event that proved wrong.
        if minute - self._oldest > age or self._oldest - minute > age or len(ids) > self._ids_max:
            self._drop(minute)

    def _drop(self, minute: int) -> None:
        ids, order, age = self.ids, self._order, self._age_minutes
        for _ in range(_DROPPED_PER_EVENT_MAX):
            too_many = len(ids) > self._ids_max
            self._oldest = ids[order[0]] >> 32
            if not too_many and -age <= self._oldest - minute <= age:
                return
            del ids[order.popleft()]
            self.dropped_by_limit += too_many
        self._oldest = ids[order[0]] >> 32 if order else minute

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
        self._oldest = values[0] >> 32 if values else 0
