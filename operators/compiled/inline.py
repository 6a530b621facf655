"""Arithmetic over a few numbers, without a loop.

A decision weighs some ten numbers, several times. A loop over so few of them costs more than the arithmetic,
so the functions are written out for the number of them that there are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

__all__ = ["Differences", "Weigher", "differences", "weigher"]

Weigher: TypeAlias = Callable[[Sequence[float], Sequence[int]], tuple[float, tuple[float, ...]]]
"""From all weights and the active slots to the sum of the slots' weights, and these weights."""
Differences: TypeAlias = Callable[[Sequence[float], Sequence[float]], tuple[float, ...]]
"""From two sequences of numbers to the first less the second."""


def weigher(count: int) -> Weigher:
    """Write out the sum of some weights, from the left and from 0.0 on, as a loop would add them.

    Parameters
    ----------
    count
        How many slots are active.
    """
    weights, slots = _names("w", count), _names("s", count)
    # From 0.0 on, as `sum` begins: -0.0 alone would else come out as -0.0.
    total = " + ".join(["0.0", *weights])
    made: Weigher = _function(
        "weights, slots",
        [
            f"{_tuple(slots)} = slots",
            *(f"{weight} = weights[{slot}]" for weight, slot in zip(weights, slots, strict=True)),
            f"return {total}, {_tuple(weights)}",
        ],
    )
    return made


def differences(count: int) -> Differences:
    """Write out the differences of two sequences.

    Parameters
    ----------
    count
        How many numbers each of them has.
    """
    first, second = _names("a", count), _names("b", count)
    less = [f"{one} - {other}" for one, other in zip(first, second, strict=True)]
    made: Differences = _function(
        "first, second",
        [f"{_tuple(first)} = first", f"{_tuple(second)} = second", f"return {_tuple(less)}"],
    )
    return made


def _names(letter: str, count: int) -> list[str]:
    return [f"{letter}{number}" for number in range(count)]


def _tuple(parts: Sequence[str]) -> str:
    return "(" + "".join(f"{part}, " for part in parts) + ")"


def _function(parameters: str, lines: Sequence[str]) -> Any:
    names: dict[str, Any] = {}
    source = "\n    ".join([f"def made({parameters}):", *lines])
    exec(compile(source, "<unrolled>", "exec"), names)  # noqa: S102  # made here, from numbers only
    return names["made"]
