"""Which range of a bin a feature's value fell into, as a value and in words."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

__all__ = ["Range", "range_of", "range_text"]


@dataclass(frozen=True, slots=True)
class Range:
    """The range of a bin that a feature's value fell into: `low` <= value < `high`.

    Attributes
    ----------
    bin, feature
        Their names.
    value
        NaN where missing; then there is no range.
    low, high
        None where the range is open.
    """

    bin: str
    feature: str
    value: float
    low: float | None
    high: float | None


def range_of(name: str, feature: str, edges: Sequence[float], value: float) -> Range:
    """Return the range of a bin that a value fell into.

    Parameters
    ----------
    name, feature
        The bin's, and its feature's.
    edges
        Where a range ends and the next begins, strictly increasing.
    value
        The feature's, NaN where missing.
    """
    if value != value:
        return Range(name, feature, value, None, None)
    ends = (-inf, *edges, inf)
    # Infinity lies in the last range, and not behind it.
    at = bisect_right(ends, value) if value < inf else len(ends) - 1
    low, high = ends[at - 1], ends[at]
    return Range(name, feature, value, None if low == -inf else low, None if high == inf else high)


def range_text(one: Range) -> str:
    """Return a range in words."""
    if one.value != one.value:
        return f"{one.bin} missing"
    if one.low is None:
        return f"{one.bin} below {one.high:g}"
    return f"{one.bin} from {one.low:g}" + ("" if one.high is None else f" to {one.high:g}")
