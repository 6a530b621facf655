"""Sliding windows cut into panes, kept as rings in shared arrays.

A window of W milliseconds has P panes of W / P each. A ring holds one value for each pane, and a total beside
it holds the value over the panes in use. The oldest pane is dropped whole, so that a window covers between
W - W / P and W: that is its error. A ring is written when it rolls and read without being written before, so
that reading leaves no trace.
"""

from __future__ import annotations

from array import array

__all__ = ["roll_max", "roll_sum", "surviving_max", "surviving_sum"]


def _surviving(ring: array[float], base: int, panes: int, head: int, passed: int) -> array[float]:
    """Panes still inside the window `passed` panes after `head`, in ring order; 0 < passed < panes."""
    low, high = (head + passed + 1) % panes, head % panes
    if low <= high:
        return ring[base + low : base + high + 1]
    return ring[base + low : base + panes] + ring[base : base + high + 1]


def surviving_sum(ring: array[float], base: int, panes: int, head: int, passed: int) -> float:
    """Sum over the window as it stands `passed` panes after `head`."""
    return 0 if passed >= panes else sum(_surviving(ring, base, panes, head, passed))


def surviving_max(ring: array[float], base: int, panes: int, head: int, passed: int) -> float:
    """Highest value of the window as it stands `passed` panes after `head`.

    Minus infinity if there is none.
    """
    return float("-inf") if passed >= panes else max(_surviving(ring, base, panes, head, passed))


def _clear(ring: array[float], base: int, panes: int, head: int, passed: int, empty: float) -> None:
    for pane in range(head + 1, head + 1 + min(passed, panes)):
        ring[base + pane % panes] = empty  # type: ignore[assignment, unused-ignore]


def roll_sum(ring: array[float], base: int, panes: int, head: int, passed: int) -> float:
    """Move the window on by `passed` panes and give its new sum, summed anew so that no rounding adds up."""
    _clear(ring, base, panes, head, passed, 0)
    return sum(ring[base : base + panes])


def roll_max(ring: array[float], base: int, panes: int, head: int, passed: int) -> float:
    """Move the window on by `passed` panes and give its new highest value."""
    _clear(ring, base, panes, head, passed, float("-inf"))
    return max(ring[base : base + panes])
