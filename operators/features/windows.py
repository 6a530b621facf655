"""Sliding windows cut into panes, kept as rings in shared arrays.

A window of W milliseconds has P panes of W / P each. A ring holds one value for each pane, and a total beside
it holds the value over the panes in use. The oldest pane is dropped whole, so that a window covers between
W - W / P and W: that is its error. A ring is written when it rolls and read without being written before, so
that reading leaves no trace.

Counts and highest values are brought forward from the total, by the panes that leave; only a highest value
that leaves makes its ring be looked through. Sums of fractions are added up anew, so that no rounding stays.
"""

from __future__ import annotations

from array import array

_EMPTY = float("-inf")

__all__ = ["roll_count", "roll_max", "roll_sum", "surviving_count", "surviving_max", "surviving_sum"]


def _surviving(ring: array[float], base: int, panes: int, head: int, passed: int) -> array[float]:
    """Panes still inside the window `passed` panes after `head`, in ring order; 0 < passed < panes."""
    low, high = (head + passed + 1) % panes, head % panes
    if low <= high:
        return ring[base + low : base + high + 1]
    return ring[base + low : base + panes] + ring[base : base + high + 1]


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
    return 0 if passed >= panes else sum(_surviving(ring, base, panes, head, passed))


def surviving_max(ring: array[float], base: int, panes: int, head: int, passed: int, highest: float) -> float:
    """Highest value of the window as it stands `passed` panes after `head`, from the highest at `head`.

    Minus infinity if there is none.
    """
    if passed >= panes:
        return float("-inf")
    for pane in range(head + 1, head + 1 + passed):
        if ring[base + pane % panes] == highest:
            return max(_surviving(ring, base, panes, head, passed))
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
    for pane in range(head + 1, head + 1 + min(passed, panes)):
        ring[base + pane % panes] = 0.0
    return sum(ring[base : base + panes])


def roll_max(ring: array[float], base: int, panes: int, head: int, passed: int, highest: float) -> float:
    """Move the window on by `passed` panes and give its new highest value, from the one before."""
    empty, leaves = _EMPTY, False
    passed = min(passed, panes)
    for pane in range(head + 1, head + 1 + passed):
        place = base + pane % panes
        if ring[place] == highest:
            leaves = True
        ring[place] = empty
    return max(ring[base : base + panes]) if leaves else highest
