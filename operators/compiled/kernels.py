"""Compiles kernels with Numba where it is installed; the same code runs as plain Python where it isn't.

Kernels touch only cells of flat arrays and plain numbers, so that both ways compute the same, bit for bit: no
fast math, no sums in another order. Plain Python gets memory views, whose cells are plain numbers.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from types import FunctionType
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar, cast

from numpy.typing import NDArray

from .kept import is_kept, note_kept, only_ours
from .twins import TWINS

__all__ = [
    "Cells",
    "Kernels",
    "compiles",
    "in_machine_code",
    "kernel",
    "kernels_of",
    "lies_on_disk",
    "may_compile",
    "note_all_kept",
]

P = ParamSpec("P")
R = TypeVar("R")
Cells = Any  # an array in compiled code, a memory view in plain Python: both are read and written by the cell
_KERNELS: Final[list[FunctionType]] = []


def kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Name a function as one that is to be compiled; its module's other kernels call it by its name there."""
    _KERNELS.append(cast("FunctionType", function))
    return function


@cache
def may_compile() -> bool:
    """Whether Numba is there, as far as that can be told without importing it."""
    return find_spec("numba") is not None and os.environ.get("NUMBA_DISABLE_JIT", "0") in ("", "0")


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


def lies_on_disk(functions: Iterable[Any]) -> bool:
    """Whether all of some compiled functions are kept."""
    return all(function.stats.cache_path for function in functions)


def _compiled_for(function: Any, signature: str | None) -> Any:
    """Return what Numba's decorator does with a signature; by then it has loaded what lies in its folder."""
    if signature is not None:
        from numba.core.typeinfer import register_dispatcher

        with register_dispatcher(function):
            function.compile(signature)
            function.disable_compile()
    return function


class Kernels:
    """The kernels of a module, all of one twin; each is an attribute, by its name.

    Parameters
    ----------
    functions
        They, by their names.
    compiled
        Whether they are machine code.
    """

    def __init__(self, functions: Mapping[str, Callable[..., Any]], *, compiled: bool) -> None:
        self.functions, self.compiled = functions, compiled
        self.__dict__.update(functions)

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...

    def cells(self, array: NDArray[Any]) -> Cells:
        """Return a flat array as these kernels take it."""
        return array if self.compiled else memoryview(array)  # type: ignore[arg-type]  # they are buffers


_made_here: Final[dict[tuple[str, bool], Kernels]] = {}


def kernels_of(module: str, *, may_wait: bool = False) -> Kernels:
    """Return the kernels of a module: in machine code where that is possible, and else plain.

    What is compiled at a kernel's first call is kept on the disk for the next process.

    Parameters
    ----------
    module
        Its name.
    may_wait
        Whether plain ones will do where compiling is put off (see `twins`).
    """
    compiled = may_compile() and not (
        may_wait and TWINS.misses(there=(module, True) in _made_here or is_kept(_name_of(module)))
    )
    compiled = compiled and compiles()
    if (module, compiled) not in _made_here:
        plain = {each.__name__: each for each in _KERNELS if each.__module__ == module}
        functions = _in_machine_code(module, plain) if compiled else plain
        _made_here[module, compiled] = Kernels(functions, compiled=compiled)
    return _made_here[module, compiled]


def _in_machine_code(module: str, plain: Mapping[str, FunctionType]) -> dict[str, Any]:
    # Their names stand for machine code only among themselves: whoever decides with the plain ones goes on.
    names = dict(vars(sys.modules[module]))
    for name, function in plain.items():
        twin = FunctionType(function.__code__, names, name, function.__defaults__)
        twin.__module__, twin.__qualname__ = module, function.__qualname__
        names[name] = in_machine_code(twin, keep=True)
    return {name: names[name] for name in plain}


def note_all_kept(module: str) -> None:
    """Note that all kernels of a module were compiled and kept, once each was called."""
    compiled = kernels_of(module)
    if compiled.compiled and lies_on_disk(compiled.functions.values()):
        note_kept(_name_of(module))


def _name_of(module: str) -> str:
    """Return a name that says what the machine code is made of."""
    file = Path(sys.modules[module].__file__ or "")
    return f"{module.rpartition('.')[2]}-{hashlib.sha256(file.read_bytes()).hexdigest()[:32]}"
