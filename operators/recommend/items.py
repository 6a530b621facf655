"""The items that an engine knows: their numbers, their names, and which of them may not be shown."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import DTypeLike

from . import kernels
from .arrays import Arrays, Slots

__all__ = ["OF_ITEMS", "Items"]

_SLOT_BITS: Final = kernels.SLOT_BITS
_SLOT: Final = kernels.SLOT
_HIDDEN, _DROPPED, _WITHHELD = 1, 2, 4  # reasons against showing an item
OF_ITEMS: Final[dict[str, DTypeLike]] = {
    "newest": "i8",
    "bought": "i8",
    "heat": "f8",
    "clicks": "i4",
    "tag": "u1",
    "gone": "u1",
    "mark": "i2",
    "touched": "u1",
}
"""The arrays with a cell for each item."""


class Items:
    """Items by their names and by their numbers.

    An item's number is its slot in the arrays and, above that, how often the slot was given before; so
    numbers are never given again, and what was dropped stays unknown.

    Parameters
    ----------
    arrays
        The engine's.

    Attributes
    ----------
    dropped
        Numbers of items that made room, until somebody takes note of them.
    by_name, names, number_at
        The number of each item; of each slot the item's name, and its number.
    slots
        Which of the arrays' cells are given.
    """

    def __init__(self, arrays: Arrays) -> None:
        self._arrays, self._items_max = arrays, 0
        self.dropped: list[int] = []
        self.by_name: dict[str, int] = {}
        self.names: list[str] = []
        self.number_at: list[int] = []
        self.slots = Slots()
        self._withheld: Collection[str] = ()
        self._new_hidden = False
        self.view()

    def __len__(self) -> int:
        return len(self.by_name)

    def configure(self, items_max: int) -> None:
        """Make room for so many; `keep_within` drops those that are more."""
        self._items_max = items_max
        self._arrays.grow(OF_ITEMS, items_max)

    def view(self) -> None:
        """See the arrays anew, whenever one of them was replaced."""
        self._touched = self._arrays.kernels.cells(self._arrays.of["touched"])

    def keep_within(self) -> None:
        """Drop items as long as there are more than the limit, those that were idle first."""
        while len(self.by_name) > self._items_max:
            self._drop(self._idle())

    def number_of(self, item_id: str) -> int:
        """Return the item's number, a new one for a new item; one that was idle for long makes room."""
        number = self.by_name.get(item_id)
        if number is None:
            number = self.by_name[item_id] = self._new_item(item_id)
        else:
            self._touched[number & _SLOT] = 1
        return number

    def _new_item(self, item_id: str) -> int:
        if len(self.by_name) >= self._items_max:
            self._drop(self._idle())
        slot = self.slots.take()
        of = self._arrays.of
        if slot == len(self.names):
            number = slot
            self.names.append(item_id)
            self.number_at.append(number)
        else:
            # The slot's next use: whoever kept the old number sees by it that the item is gone.
            number = self.number_at[slot] + (1 << _SLOT_BITS)
            self.names[slot], self.number_at[slot] = item_id, number
            for name in OF_ITEMS:
                of[name][slot] = 0
            of["tag"][slot] = (number >> _SLOT_BITS) & kernels.TAG
        of["gone"][slot] = _HIDDEN * self._new_hidden + _WITHHELD * (item_id in self._withheld)
        return number

    def _idle(self) -> str:
        """One that wasn't asked for since it was last looked at here (Corbató: A paging experiment, 1968).

        Unlike moving each item to the end whenever it is asked for, this leaves the table of names small.
        """
        numbers, touched = self.by_name, self._touched
        while True:
            item_id = next(iter(numbers))
            number = numbers[item_id]
            if not touched[number & _SLOT]:
                return item_id
            # A second chance, and to the end of the queue; after at most one round every item is untouched,
            # so this ends.
            touched[number & _SLOT] = 0
            del numbers[item_id]
            numbers[item_id] = number

    def known(self, item_id: str) -> int | None:
        """Return the item's number; None if it has none."""
        return self.by_name.get(item_id)

    def name_of(self, number: int) -> str:
        """Return the item's id; empty if it was dropped."""
        slot = number & _SLOT
        return self.names[slot] if self.number_at[slot] == number else ""

    def _drop(self, item_id: str) -> None:
        number = self.by_name.pop(item_id)
        slot = number & _SLOT
        self.names[slot] = ""
        self._arrays.of["gone"][slot] |= _DROPPED
        # It may still stand among the hot ones, and goes from there as the coldest.
        self._arrays.of["heat"][slot] = 0.0
        self.slots.give_back(slot)
        self.dropped.append(number)

    def hide(self, number: int, *, hidden: bool) -> None:
        """Show an item never again, though it is learned from; or show it again."""
        gone, slot = self._arrays.of["gone"], number & _SLOT
        gone[slot] = gone[slot] | _HIDDEN if hidden else gone[slot] & (0xFF ^ _HIDDEN)

    def clicks(self, number: int) -> int:
        """How many clicks on a known item the index has learned from."""
        return int(self._arrays.of["clicks"][number & _SLOT])

    def may_show(self, number: int) -> bool:
        """Whether an item is known and nothing speaks against showing it."""
        slot = number & _SLOT
        return self.number_at[slot] == number and not self._arrays.of["gone"][slot]

    def withhold(self, item_ids: Collection[str], *, new_hidden: bool) -> None:
        """Never show these items, in place of those named before.

        Parameters
        ----------
        item_ids
            Their ids, whether they are known yet or not.
        new_hidden
            Whether items that come are hidden until `hide` shows them.
        """
        gone = self._arrays.of["gone"]
        self._withheld, self._new_hidden = frozenset(item_ids), new_hidden
        for item_id, number in self.by_name.items():
            slot = number & _SLOT
            rest = gone[slot] & (0xFF ^ _WITHHELD)
            gone[slot] = rest | _WITHHELD if item_id in self._withheld else rest

    def hidden_count(self) -> int:
        """How many of the known items may not be shown."""
        gone = self._arrays.of["gone"][: len(self.names)]
        return int(np.count_nonzero(gone & (0xFF ^ _DROPPED)))

    def numbers(self) -> list[int]:
        """All items' numbers."""
        return list(self.by_name.values())

    def load(self, names: Mapping[str, Any]) -> None:
        """Take over names and numbers as they were saved."""
        self.by_name = dict(names["items"])
        self.number_at = names["numbers"]
        self.names = [""] * len(self.number_at)
        for name, number in self.by_name.items():
            self.names[number & _SLOT] = name
        self.slots = Slots(*names["slots"]["items"])
