"""Compiles kernels with Numba where it is installed; the same code runs as plain Python where it isn't.

Kernels touch only cells of flat arrays and plain numbers, so that both ways compute the same, bit for bit: no
fast math, no sums in another order. Plain Python gets memory views, whose cells are plain numbers.
"""

from __future__ import annotations

import logging
import os
import stat
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from types import FunctionType
from typing import Any, Final, ParamSpec, TypeVar, cast

from numpy.typing import NDArray

__all__ = ["Cells", "cells", "compiled", "compiles", "in_machine_code", "kernel", "only_ours"]

_log = logging.getLogger(__name__)
P = ParamSpec("P")
R = TypeVar("R")
Cells = Any  # an array in compiled code, a memory view in plain Python: both are read and written by the cell
_KERNELS: Final[list[FunctionType]] = []


def kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Name a function as one that is to be compiled; its module's other kernels call it by its name there."""
    _KERNELS.append(cast("FunctionType", function))
    return function


@cache
def compiles() -> bool:
    """Whether Numba is installed, and not switched off by its own `NUMBA_DISABLE_JIT=1`."""
    try:
        # Only when it is needed: it takes a third of a second.
        from numba import config
    except ImportError:  # the extra "fast" is not installed
        return False
    return not config.DISABLE_JIT  # type: ignore[attr-defined]


def in_machine_code(function: Callable[..., Any], signature: str | None = None, *, keep: bool) -> Any:
    """Compile a function, so that it computes as it does in Python; where Numba is installed.

    Parameters
    ----------
    function
        What it calls is compiled too.
    signature
        In Numba's words; it is compiled at once then, and at its first call without one.
    keep
        Whether what was compiled is kept on the disk for the next process, if there is a place for it that
        nobody else can write to.
    """
    from numba import njit

    if keep:
        with suppress(RuntimeError, OSError):  # there is no place where it could be kept
            # Kernels don't divide by zero, so that raising as Python does would cost a branch at every
            # division for nothing.
            kept = njit(cache=True, error_model="numpy")(function)
            # Numba keeps machine code as pickles: whoever can write there could run code in this process.
            if only_ours(Path(kept.stats.cache_path or "")):
                return _compiled_for(kept, signature)
    return njit(signature, error_model="numpy")(function)


def _compiled_for(function: Any, signature: str | None) -> Any:
    """Return what Numba's decorator does with a signature; by then it has loaded what lies in its folder."""
    if signature is not None:
        from numba.core.typeinfer import register_dispatcher

        with register_dispatcher(function):
            function.compile(signature)
            function.disable_compile()
    return function


@cache
def only_ours(folder: Path) -> bool:
    """Whether nobody but us, and the system, can put files into a folder; one that isn't there yet is made.

    What is loaded from it is run. So neither it nor a folder above it may belong to, or be written by,
    anybody else; but for those above it in which only a file's owner may replace it, as in `/tmp`.

    Raises
    ------
    OSError
        If it can't be made, or looked at.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    whole = folder.resolve()
    # Parents too: who can rename one of them can put another folder in its place.
    for each in (whole, *whole.parents):
        status = each.stat()
        sticky = each != whole and status.st_mode & stat.S_ISVTX
        written = status.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not sticky
        if written or status.st_uid not in (0, os.geteuid()):
            _log.warning("%s can be written by others: nothing that is compiled is kept in %s", each, folder)
            return False
    return True


@cache
def compiled() -> bool:
    """Put compiled kernels in the place of plain ones, once; whether that is possible here.

    What is compiled at a kernel's first call is kept on the disk for the next process.
    """
    if not compiles():
        return False
    for function in _KERNELS:
        setattr(sys.modules[function.__module__], function.__name__, in_machine_code(function, keep=True))
    return True


def cells(array: NDArray[Any]) -> Cells:
    """Return a flat array as kernels take it."""
    return array if compiled() else memoryview(array)  # type: ignore[arg-type]  # flat arrays are buffers
