"""How long a regular expression may take: how many ways there are at most to try it on a text."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from typing import Any, Final

__all__ = ["WAYS_MAX", "ways"]

WAYS_MAX: Final = 4_000_000
"""More ways are refused: a text made for it would hold everybody up for a second and longer."""

_parser: Final = import_module("re._parser")
_REPEATS: Final = ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT")
_INNER: Final = {"SUBPATTERN": 3, "ASSERT": 1, "ASSERT_NOT": 1}


def ways(pattern: str, characters: int) -> int:
    r"""Bound the ways in which a backtracking matcher may try a pattern on a text.

    Parameters
    ----------
    pattern
        One that compiles.
    characters
        Length of the longest text.

    Returns
    -------
    int
        `WAYS_MAX` + 1 stands for more.

    Examples
    --------
    >>> ways("[0-9]{6,8}", 8), ways(r"\w+@\w+", 100)
    (3, 10000)

    References
    ----------
    R. Cox, "Regular Expression Matching Can Be Simple And Fast", 2007: why matchers that backtrack may take
    exponential time.
    """
    return _sequence(_parser.parse(pattern), characters)


def _sequence(nodes: Iterable[Any], characters: int) -> int:
    return _product(_node(str(op), given, characters) for op, given in nodes)


def _node(op: str, given: Any, characters: int) -> int:
    # Names of Python's own parser, which are the same in all versions that this runs on.
    if op in _REPEATS:
        return _repeat(given[0], given[1], given[2], characters)
    if op == "BRANCH":
        return _capped(sum(_sequence(branch, characters) for branch in given[1]))
    if op in _INNER:
        return _sequence(given[_INNER[op]], characters)
    if op == "ATOMIC_GROUP":
        return _sequence(given, characters)
    if op == "GROUPREF_EXISTS":
        return _capped(sum(_sequence(branch, characters) for branch in given[1:] if branch is not None))
    return 1


# What repeats something that itself can match in several ways is where time explodes: (a+)+ has 2^n of them.
def _repeat(least: int, most: Any, inner: Iterable[Any], characters: int) -> int:
    """Count how often it repeats, times what each repetition may do."""
    times = max(least, min(int(most), characters))
    of_one = _sequence(inner, characters)
    repeated = 1 if of_one == 1 else _capped_power(of_one, times)
    return _capped((times - least + 1) * repeated)


def _capped(count: int) -> int:
    return min(count, WAYS_MAX + 1)


def _capped_power(base: int, exponent: int) -> int:
    return _product(base for _ in range(min(exponent, WAYS_MAX.bit_length() + 1)))


def _product(counts: Iterable[int]) -> int:
    found = 1
    for count in counts:
        found = _capped(found * count)
    return found
