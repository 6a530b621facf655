"""Sliding windows cut into panes, kept as rings in shared arrays.

A window of W milliseconds has P panes of W / P each. A ring holds one value for each pane, and a total beside
it holds the value over the panes in use. The oldest pane is dropped whole, so that a window covers between
W - W / P and W: that is its error. A ring is written when it rolls and read without being written before, so
that reading leaves no trace.

Counts and highest values are brought forward from the total, by the panes that leave; only a highest value
that leaves makes its ring be looked through. Sums of fractions are added up anew, so that no rounding stays.

Numba compiles these functions too, so they look at single cells only, and a sum is added up from the oldest
pane on: the sum of a list is another one from Python 3.12 on.
"""

from __future__ import annotations

from array import array
from math import inf

__all__ = [
    "highest_of",
    "roll_count",
    "roll_max",
    "roll_sum",
    "surviving_count",
    "surviving_max",
    "surviving_sum",
    "total_of",
]


def total_of(ring: array[float], base: int, panes: int, first: int, after: int) -> float:
    """Sum over panes `first` to `after - 1`."""
    total = 0.0
    for pane in range(first, after):
        total += ring[base + pane % panes]
    return total


def highest_of(ring: array[float], base: int, panes: int, first: int, after: int) -> float:
    """Highest value of panes `first` to `after - 1`, minus infinity if there is none."""
    highest = -inf
    for pane in range(first, after):
        value = ring[base + pane % panes]
        highest = max(highest, value)
    return highest


def surviving_count(ring: array[int], base: int, panes: int, head: int, passed: int, total: int) -> int:
    """Count over the window as it stands `passed` panes after `head`, from the count at `head`."""
    if passed >= panes:
        return 0
    for pane in range(head + 1, head + 1 + passed):
        total -= ring[base + pane % panes]
    return total


def surviving_sum(
    ring: array[float], base: int, panes: int, head: int, passed: int, _total: float = 0.0
) -> float:
    """Sum over the window as it stands `passed` panes after `head`."""
    return total_of(ring, base, panes, head + 1 + passed, head + 1 + panes)


def surviving_max(ring: array[float], base: int, panes: int, head: int, passed: int, highest: float) -> float:
    """Highest value of the window as it stands `passed` panes after `head`, from the highest at `head`.

    Minus infinity if there is none.
    """
    if passed >= panes:
        return -inf
    for pane in range(head + 1, head + 1 + passed):
        if ring[base + pane % panes] == highest:
            return highest_of(ring, base, panes, head + 1 + passed, head + 1 + panes)
    return highest


def roll_count(ring: array[int], base: int, panes: int, head: int, passed: int, total: int) -> int:
    """Move the window on by `passed` panes and give its new count, from the one before."""
    passed = min(passed, panes)
    for pane in range(head + 1, head + 1 + passed):
        place = base + pane % panes
        total -= ring[place]
        ring[place] = 0
    return total


def roll_sum(ring: array[float], base: int, panes: int, head: int, passed: int, _total: float = 0.0) -> float:
    """Move the window on by `passed` panes and give its new sum."""
    passed = min(passed, panes)
    for pane in range(head + 1, head + 1 + passed):
        ring[base + pane % panes] = 0.0
    return total_of(ring, base, panes, head + 1 + passed, head + 1 + panes)


def roll_max(ring: array[float], base: int, panes: int, head: int, passed: int, highest: float) -> float:
    """Move the window on by `passed` panes and give its new highest value, from the one before."""
    leaves = False
    passed = min(passed, panes)
    for pane in range(head + 1, head + 1 + passed):
        place = base + pane % panes
        if ring[place] == highest:
            leaves = True
        ring[place] = -inf
    return highest_of(ring, base, panes, head + 1 + passed, head + 1 + panes) if leaves else highest
