"""Compiles kernels with Numba where it is installed, and runs the same code as plain Python where it isn't.

Kernels touch only cells of flat arrays and plain numbers, so that both ways compute the same, bit for bit: no
fast math, no sums in another order. Plain Python gets memory views, whose cells are plain numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from numpy.typing import NDArray

__all__ = ["COMPILED", "Cells", "cells", "kernel"]

try:
    from numba import config, njit
except ImportError:  # the extra "fast" is not installed
    COMPILED = False
else:
    COMPILED = not config.DISABLE_JIT  # type: ignore[attr-defined]  # Numba's own switch: NUMBA_DISABLE_JIT=1

P = ParamSpec("P")
R = TypeVar("R")
Cells = Any  # NDArray in compiled code, memoryview in plain Python: both are read and written by the cell


def kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a function at its first call; compiled code is kept on the disk for the next process."""
    if not COMPILED:
        return function
    compiled: Callable[P, R] = njit(cache=True, error_model="numpy")(function)
    return compiled


def cells(array: NDArray[Any]) -> Cells:
    """A flat array as kernels take it."""
    return array if COMPILED else memoryview(array)  # type: ignore[arg-type]  # flat arrays are buffers
