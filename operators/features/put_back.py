"""Takes out of features what lies ahead of a time, where a wrong clock is put back."""

from __future__ import annotations

from array import array
from collections.abc import Collection, Mapping
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .entities import NOBODY, Entities
from .windows import highest_of, total_of

__all__ = ["Ring", "Times", "Window", "put_tables_back"]

_EMPTY: Final = {"count": 0, "sum": 0.0, "max": float("-inf")}


class Window(NamedTuple):
    """A window's columns in a table of entities.

    Attributes
    ----------
    head
        The newest pane of each entity.
    pane_ms, panes
        How long a pane is, and how many there are.
    parts
        Total, ring and what is made of its values: `count`, `sum` or `max`.
    """

    head: array[int]
    pane_ms: int
    panes: int
    parts: tuple[tuple[array[Any], array[Any], str], ...]

    def put_back(self, to_ms: int) -> int:
        """Empty the panes that lie ahead of a time; say in how many entities' windows there were some."""
        to, panes = to_ms // self.pane_ms, self.panes
        rows = np.flatnonzero(_view(self.head) > to).tolist()
        for row in rows:
            head, base = self.head[row], row * panes
            # Totals are summed anew rather than reduced: what left the ring meanwhile is not in any pane.
            for total, ring, how in self.parts:
                for pane in range(max(to, head - panes) + 1, head + 1):
                    ring[base + pane % panes] = _EMPTY[how]
                whole = highest_of if how == "max" else total_of
                total[row] = type(total[row])(whole(ring, base, panes, to + 1, to + 1 + panes))
            self.head[row] = to
        return len(rows)


class Times(NamedTuple):
    """A column of times.

    Attributes
    ----------
    values
        One for each entity; 0 for none.
    drops
        Whether a time ahead is dropped; else it becomes the time that the clock is put back to.
    """

    values: array[int]
    drops: bool


class Ring(NamedTuple):
    """The last values of each entity, with their times.

    Attributes
    ----------
    came
        How many have come, of each entity; the next one's place is this by the width.
    values, times
        Side by side; a time of 0 is an empty place.
    width
        Places for each entity.
    """

    came: array[int]
    values: array[float]
    times: array[int]
    width: int

    def put_back(self, to_ms: int) -> int:
        """Drop values that lie ahead of a time; say how many there were."""
        width = self.width
        ahead = (_view(self.times) > to_ms).reshape(-1, width)
        for row in np.flatnonzero(ahead.any(axis=1)).tolist():
            base, count = row * width, self.came[row]
            places = [base + number % width for number in range(max(0, count - width), count)]
            kept = [(self.values[at], self.times[at]) for at in places if self.times[at] <= to_ms]
            kept += [(0.0, 0)] * (width - len(kept))
            for at, (value, time) in enumerate(kept):
                self.values[base + at], self.times[base + at] = value, time
            self.came[row] = sum(time > 0 for _, time in kept)
        return int(np.count_nonzero(ahead))


def _view(values: array[Any]) -> NDArray[np.int64]:
    return np.frombuffer(values, np.int64)


def _clamp(values: NDArray[Any], to: int, instead: int | None = None) -> int:
    """Put what is higher than `to` to that, or to another number; say how many there were."""
    ahead = (values > to) & (values != NOBODY)
    values[ahead] = to if instead is None else instead
    return int(np.count_nonzero(ahead))


def put_tables_back(
    tables: Mapping[str, Entities], windows: Collection[Window], times: Collection[Times], to_ms: int
) -> int:
    """Drop what entities' columns hold of the time after `to_ms`.

    Windows lose the panes after it, times of a last or first event that lie ahead are forgotten, and so are
    values seen only then where different ones are counted. What had expired by then doesn't come back.

    Returns
    -------
    int
        How many windows, times and values lost something.
    """
    dropped = sum(window.put_back(to_ms) for window in windows)
    for column in times:
        changed = _clamp(_view(column.values), to_ms, 0 if column.drops else None)
        dropped += changed if column.drops else 0
    for table in tables.values():
        _clamp(_view(table.last_seen.values), to_ms)
        for seen in (each for mappings in table.distinct for each in mappings if each):
            for key in [key for key, at_ms in seen.items() if at_ms > to_ms]:
                del seen[key]
                dropped += 1
    return dropped
