"""Identifiers of constant length that carry no order."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .draws import Ints

__all__ = ["scrambled"]


def scrambled(numbers: Ints, bits: int, keys: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Each number below 2**bits as another one below 2**bits, no two alike.

    Rounds of adding a key, multiplying by an odd key, and folding the upper half onto the lower one: each
    step can be undone modulo 2**bits, so different numbers stay different.

    Parameters
    ----------
    numbers
        Shape (n,).
    bits
        Even, at most 64.
    keys
        Shape (rounds, 2), any values.
    """
    mask = np.uint64((1 << bits) - 1)
    half = np.uint64(bits // 2)
    mixed = numbers.astype(np.uint64)
    for plus, times in keys:
        # Adding, multiplying by an odd number, and xor with one's own upper half can each be undone: no two
        # numbers meet.
        mixed = ((mixed + plus) * (times | np.uint64(1))) & mask
        mixed ^= mixed >> half
    return mixed
