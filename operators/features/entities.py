"""Entities of one kind, each a row number with its state in typed columns."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

__all__ = ["NOBODY", "Column", "Entities", "Key"]

Key = str | int | tuple[str | int, ...]
"""What names an entity: a value, or several together."""

_Head = tuple[list[Key | None], list[int], int, int, int]
NOBODY: Final = 1 << 62  # creation of a row without an owner: later than every input
_ROWS_LOOKED_AT_MAX: Final = 16  # when the limit is reached, the idlest of so many rows goes
# Rows are added by portions, as columns are many: a sixteenth of those that there are, within these limits.
_GROWTH_ROWS_MIN: Final = 16
_GROWTH_ROWS_MAX: Final = 1024


def _nobody_asks() -> None:
    """Nobody keeps the columns' addresses."""


class Column:
    """One typed column of a table of entities.

    Parameters
    ----------
    typecode
        Of the `array` module.
    initial
        The value of a new entity.
    width
        Values for each entity; they lie side by side.
    """

    __slots__ = ("initial", "values", "width")

    def __init__(self, typecode: str, initial: float, width: int = 1) -> None:
        self.initial = array(typecode, [initial]) * width
        self.values = array(typecode, self.initial)
        self.width = width

    @property
    def row_bytes(self) -> int:
        """What one entity takes."""
        return self.width * self.values.itemsize

    def reset(self, row: int) -> None:
        """Give a row its initial values again."""
        self.values[row * self.width : (row + 1) * self.width] = self.initial


class Entities:
    """A table of entities: an index from keys to rows, typed columns, eviction of the idle.

    Rows are reused. `created` holds the input at which a row's present owner came, so that a reference
    (row, input) taken earlier can be told from one to a former owner.

    Parameters
    ----------
    entities_max
        Rows at most; at the limit the idlest of 16 rows, taken in turn, is evicted.
    idle_ms_max
        Entities not seen for longer are evicted as a hand passes over the table.

    Attributes
    ----------
    moved
        Is called when columns may have come to lie elsewhere in memory.
    """

    def __init__(self, entities_max: int, idle_ms_max: int) -> None:
        self.entities_max, self.idle_ms_max = entities_max, idle_ms_max
        self.index: dict[Key, int] = {}
        self.keys: list[Key | None] = [None]
        self.free: list[int] = []
        self.last_seen = Column("q", 0)
        self.created = Column("q", NOBODY)
        self.columns: list[Column] = [self.last_seen, self.created]
        self.distinct: list[list[dict[str, int] | None]] = []
        self._rows = 1  # that columns have room for
        self.moved: Callable[[], None] = _nobody_asks
        self.hand = 0
        self.evicted_by_age = 0
        self.evicted_by_limit = 0

    def __len__(self) -> int:
        return len(self.index)

    def column(self, typecode: str, initial: float, width: int = 1) -> Column:
        """Add a column; before the first entity only."""
        added = Column(typecode, initial, width)
        self.columns.append(added)
        return added

    def distinct_column(self) -> list[dict[str, int] | None]:
        """Add a column of mappings, for sets of keys that must be counted."""
        added: list[dict[str, int] | None] = [None]
        self.distinct.append(added)
        return added

    def create(self, key: Key, input_number: int) -> int:
        """Give a new entity a row."""
        if len(self.index) >= self.entities_max:
            self._evict_idlest()
        row = self.free.pop() if self.free else self._extend()
        self.index[key] = row
        self.keys[row] = key
        self.created.values[row] = input_number
        self.last_seen.values[row] = 0
        return row

    def _extend(self) -> int:
        row = len(self.keys)
        self.keys.append(None)
        for mappings in self.distinct:
            mappings.append(None)
        if row == self._rows:
            more = min(max(row >> 4, _GROWTH_ROWS_MIN), _GROWTH_ROWS_MAX)
            for column in self.columns:
                # By portions: growing dozens of columns by a row for each new entity would cost more than all
                # else that it does.
                column.values.extend(column.initial * more)
            self._rows += more
            self.moved()
        return row

    def _trim(self) -> None:
        """Give up the room that columns have for further rows."""
        rows = len(self.keys)
        if rows < self._rows:
            for column in self.columns:
                del column.values[rows * column.width :]
            self._rows = rows
            self.moved()

    def _evict(self, row: int) -> None:
        key = self.keys[row]
        if key is None:
            return
        del self.index[key]
        self.keys[row] = None
        for column in self.columns:
            # At once, not when the row is given again: an erased entity must leave nothing, and a new one
            # starts clean.
            column.reset(row)
        for mappings in self.distinct:
            mappings[row] = None
        self.last_seen.values[row] = NOBODY  # a free row is never idle
        self.free.append(row)

    def forget(self, key: Key) -> None:
        """Give an entity's row up, if it has one, as if it had been idle for too long."""
        row = self.index.get(key)
        if row is not None:
            self._evict(row)

    def _next_row(self) -> int:
        self.hand = self.hand + 1 if self.hand + 1 < len(self.keys) else 1
        return self.hand

    def _evict_idlest(self) -> None:
        # At the limit no row is free, as rows are added only when none is.
        looked_at = [self._next_row() for _ in range(min(_ROWS_LOOKED_AT_MAX, len(self.keys) - 1))]
        self._evict(min(looked_at, key=self.last_seen.values.__getitem__))
        self.evicted_by_limit += 1

    def sweep(self, now_ms: int, rows: int) -> None:
        """Let the hand pass over at most some rows and evict those that were idle for too long."""
        oldest, last_seen = now_ms - self.idle_ms_max, self.last_seen.values
        first = self.hand + 1 if self.hand + 1 < len(self.keys) else 1
        end = min(first + rows, len(self.keys))
        self.hand = end - 1
        # Nearly always nobody is idle, which one `min` in C tells.
        if first == end or min(last_seen[first:end]) >= oldest:
            return
        for row in range(first, end):
            if last_seen[row] < oldest:
                self._evict(row)
                self.evicted_by_age += 1

    def save(self) -> dict[str, bytes | array[int] | array[float]]:
        """Return the state as named blobs; columns are given as they are, without a copy."""
        blobs: dict[str, bytes | array[int] | array[float]] = {"head": self.save_head()}
        blobs |= {f"column-{number}": column.values for number, column in enumerate(self.columns)}
        if self.distinct:
            blobs["distinct"] = msgspec.msgpack.encode(self.distinct)
        return blobs

    def save_head(self) -> bytes:
        """Return all but the columns; these are cut to the rows that there are."""
        self._trim()
        head = (self.keys, self.free, self.hand, self.evicted_by_age, self.evicted_by_limit)
        return msgspec.msgpack.encode(head)

    def load(self, blobs: dict[str, bytes]) -> None:
        """Take over a saved state, in place: whoever holds a column or the index goes on with it.

        Raises
        ------
        ValueError
            If a column isn't as long as the table.
        """
        columns = {str(number): column for number, column in enumerate(self.columns)}
        self.load_columns(blobs["head"], columns, {name: blobs[f"column-{name}"] for name in columns})
        if self.distinct:
            saved = msgspec.msgpack.decode(blobs["distinct"], type=list[list[dict[str, int] | None]])
            for mappings, loaded in zip(self.distinct, saved, strict=True):
                mappings[:] = loaded

    def load_columns(self, head: bytes, columns: Mapping[str, Column], saved: Mapping[str, bytes]) -> None:
        """Take over what `save_head` gave, and columns by name; one that isn't saved starts empty.

        Raises
        ------
        ValueError
            If a column isn't as long as the table; then nothing has changed.
        """
        read = msgspec.msgpack.decode(head, type=_Head)
        rows = len(read[0])
        for name, column in columns.items():
            # All are measured before any is changed: a state that doesn't fit leaves this one as it is.
            found, expected = len(saved.get(name, bytes(rows * column.row_bytes))), rows * column.row_bytes
            if found != expected:
                raise ValueError(f"column {name} has {found} bytes, not {expected}")
        self.keys[:], self.free[:], self.hand, self.evicted_by_age, self.evicted_by_limit = read
        self.index.clear()
        self.index.update({key: row for row, key in enumerate(self.keys) if key is not None})
        for name, column in columns.items():
            del column.values[:]
            if name in saved:
                column.values.frombytes(saved[name])
            else:
                column.values.extend(column.initial * rows)
        for mappings in self.distinct:
            mappings[:] = [None] * rows
        self._rows = rows
        self.moved()
