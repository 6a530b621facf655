"""The arrays of an engine: made, resized, saved and loaded by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import exp
from random import Random
from typing import Any, Final, NamedTuple, TypeVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ..compiled.kernels import Kernels
from . import kernels as k

__all__ = ["Arrays", "Slots", "new_room", "padded", "start_weights"]

Array = NDArray[Any]
T = TypeVar("T", bound=NamedTuple)
_SEED: Final = 1
_SPREAD: Final = 0.3  # of the hidden units' first weights
_LEAST_SQUARES: Final = 0.01
# Of the first guess, for each source.
_BLEND: Final = {
    k.NEIGHBOURS: 1.0,
    k.RECENT: 2.0,
    k.NEXT: 1.5,
    k.LATER: 1.0,
    k.OWN: 2.0,
    k.BOUGHT: 1.0,
    k.TRENDING: 0.1,
}
_NEAR: Final = 2.0  # clicks, after which a neighbour's item counts 1/e
_LATER: Final = 4.0
_MATTERS: Final = 1.5  # items of a session, after which one counts 1/e


class Slots:
    """Places in arrays that are given and given back; the one given back last is given first.

    Attributes
    ----------
    used
        Places below this were given before.
    free
        Those of them that were given back.
    """

    def __init__(self, used: int = 0, free: Sequence[int] = ()) -> None:
        self.used, self.free = used, list(free)

    def take(self) -> int:
        """Get a place."""
        if self.free:
            return self.free.pop()
        self.used += 1
        return self.used - 1

    def give_back(self, place: int) -> None:
        """Have a place given again."""
        self.free.append(place)


def padded(array: Array, size: int) -> Array:
    """Return an array with so many cells, zeros behind what there was.

    Memory is taken where it is written to.
    """
    longer = np.zeros(size, array.dtype)
    longer[: len(array)] = array
    return longer


class Arrays:
    """Named flat arrays, and the same as kernels take them.

    Parameters
    ----------
    shapes
        How many cells each has, and of what kind.
    kernels
        Those that take them.

    Attributes
    ----------
    of : dict of str to array
        By their names.
    """

    def __init__(self, shapes: Mapping[str, tuple[int, DTypeLike]], kernels: Kernels) -> None:
        self.kernels = kernels
        self.of: dict[str, Array] = {name: np.zeros(size, kind) for name, (size, kind) in shapes.items()}

    def as_cells(self, kind: type[T]) -> T:
        """Those that a named tuple of a kernel asks for."""
        return kind(*(self.kernels.cells(self.of[name]) for name in kind._fields))

    def grow(self, names: Iterable[str], size: int) -> None:
        """Let arrays have at least so many cells; what is in them stays."""
        for name in names:
            array = self.of[name]
            if len(array) < size:
                self.of[name] = padded(array, size)

    def resize_ring(self, name: str, width: int, capacity: int, taken: int) -> None:
        """Let a ring of rows have another capacity; the newest rows stay under their numbers."""
        array = self.of[name].reshape(-1, width)
        if len(array) == capacity:
            return
        # Chunks and blocks are known by numbers that count on; each must stand at its number modulo the new
        # capacity.
        kept = np.arange(max(taken - min(len(array), capacity), 0), taken)
        ring = np.zeros((capacity, width), array.dtype)
        ring[kept % capacity] = array[kept % len(array)]
        self.of[name] = ring.reshape(-1)


def start_weights(of: dict[str, Array]) -> None:
    """Fill in the ranker's weights as they are before the first click: the same in every run."""
    draw = Random(_SEED)  # noqa: S311  # nothing secret
    of["inner"][:] = [draw.gauss(0.0, _SPREAD) for _ in range(len(of["inner"]))]
    of["outer"][:] = [draw.gauss(0.0, 0.1) for _ in range(len(of["outer"]))]
    for name in ("linear", "inner", "bias", "outer"):
        # Not zero: Adagrad divides by their root, and the first step would be as long as the rate, however
        # small the gradient.
        of[f"{name}_squares"][:] = _LEAST_SQUARES


def new_room(kernels: Kernels) -> Arrays:
    """Room for searches, with the tables that they read."""
    shapes: dict[str, tuple[int, DTypeLike]] = {
        "table": (k.TABLE, "i4"),
        **dict.fromkeys(("used", "key", "mask", "place", "anchor", "ordered"), (k.ENTRIES_MAX, "i4")),
        "chunk": (k.ENTRIES_MAX, "i8"),
        "bucket": (k.MASKS, "i4"),
        "item": (k.FOUND_MAX, "i4"),
        "weight": (k.FOUND_MAX * k.SOURCES, "f8"),
        **dict.fromkeys(("support", "through"), (k.FOUND_MAX * k.SOURCES, "i4")),
        **dict.fromkeys(("past", "distance", "times"), (k.PAST_MAX, "i4")),
        **dict.fromkeys(("guess", "wanted", "moved"), (k.FOUND_MAX, "f8")),
        "chosen": (k.FOUND_MAX, "i4"),
        "top": (2 * k.SOURCES, "f8"),
        "sims": (k.MASKS, "f8"),
        "sims_order": (k.MASKS, "i4"),
        "decay": (k.PAST_MAX, "f8"),
        **dict.fromkeys(("near", "later"), (k.STEPS, "f8")),
        "blend": (k.SOURCES, "f8"),
        **dict.fromkeys(("out_place", "out_source", "out_anchor", "out_support"), (1024, "i4")),
        "out_score": (1024, "f8"),
    }
    arrays = Arrays(shapes, kernels)
    of = arrays.of
    of["table"][:] = -1
    of["decay"][:] = [exp(-place / _MATTERS) for place in range(k.PAST_MAX)]
    of["near"][:] = [exp(-distance / _NEAR) for distance in range(k.STEPS)]
    of["later"][:] = [exp(-distance / _LATER) for distance in range(k.STEPS)]
    of["blend"][:] = [_BLEND[source] for source in range(k.SOURCES)]
    decay = of["decay"].tolist()
    sims = [sum(decay[place] for place in range(k.ANCHORS) if mask >> place & 1) for mask in range(k.MASKS)]
    of["sims"][:] = sims
    of["sims_order"][:] = sorted(range(k.MASKS), key=lambda mask: (-sims[mask], mask))
    return arrays
