"""Compiles functions whose source is made at run time with Numba, and keeps what was compiled on the disk.

Such a source speaks of memory by its address: `doubles(a)`, `longs(a)`, `ints(a)`, `words(a)`, `shorts(a)`
and `floats(a)` are the cells from address `a` on; `put_long(a, x)`, `put_double`, `put_word`, `put_short` and
`put_byte` write a number to an address that need not be aligned; `get_long(a)` and so on read one there.
"""

from __future__ import annotations

import hashlib
import inspect
import logging
import math
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from tempfile import NamedTemporaryFile
from types import FunctionType
from typing import Any, Final, NamedTuple, cast

import numpy as np

from .kept import is_kept, kernel_folder, make_room, note_kept
from .kernels import compiles, in_machine_code, lies_on_disk, may_compile
from .twins import TWINS

__all__ = ["CELLS", "compile_source", "names_in"]

CELLS: Final = {"d": "doubles", "q": "longs", "i": "ints", "f": "floats", "H": "shorts", "I": "words"}
"""What a source calls the cells from an address on, by their code in the `array` module."""

_NUMBERS: Final = {
    "long": "int64",
    "double": "float64",
    "word": "uint32",
    "short": "uint16",
    "byte": "uint8",
}
_NAMES: Final = re.compile(r"\b[a-z_][a-z0-9_]*\b")
_log = logging.getLogger(__name__)


def names_in(lines: Iterable[str]) -> set[str]:
    """Return what could be names in some lines of a source."""
    return {name for line in lines for name in _NAMES.findall(line)}


def compile_source(
    source: str,
    helpers: Mapping[str, Callable[..., Any]],
    signatures: Mapping[str, str],
    *,
    may_wait: bool = False,
) -> dict[str, Callable[..., Any]] | None:
    """Compile functions of a source, or load what was compiled of the same source before.

    Parameters
    ----------
    source
        Of a module.
    helpers
        Functions that the source and further helpers call, by name; they are compiled with it.
    signatures
        Of the functions wanted, by name, in Numba's words.
    may_wait
        Whether a plain twin decides where compiling is put off (see `twins`), and takes what is compiled over
        then.

    Returns
    -------
    dict or None
        The compiled functions by name; None where Numba isn't installed or is switched off, or numbers don't
        lie in memory as they are kept, their lowest byte first; and as long as they wait to be compiled.
    """
    # Bytes are put into records in the machine's order, which must be the journal's.
    if sys.byteorder != "little" or not may_compile():
        return None
    name = _name_of(source, tuple(helpers.values()))
    program = _Program(name, source, tuple(helpers.items()), tuple(signatures.items()))
    if program not in _made_here:
        if may_wait and TWINS.misses(there=is_kept(name)):
            return None
        _made_here[program] = _compile(program) if compiles() else None
    return _made_here[program]


class _Program(NamedTuple):
    """What is compiled together."""

    name: str
    source: str
    helpers: tuple[tuple[str, Callable[..., Any]], ...]
    signatures: tuple[tuple[str, str], ...]


_made_here: Final[dict[_Program, dict[str, Callable[..., Any]] | None]] = {}


def _compile(program: _Program) -> dict[str, Callable[..., Any]]:
    file = _kept(program.name, program.source)
    names: dict[str, Any] = {**_cells(), **_puts(), **_gets(), "inf": math.inf, "nan": math.nan}
    names |= {"sqrt": math.sqrt, "exp": math.exp, "log": math.log}
    names["__name__"] = __name__  # what was kept is loaded as a part of a module that can be imported
    for name, helper in program.helpers:
        # With the compiled ones in place of those that its own module has.
        there = FunctionType(cast("FunctionType", helper).__code__, names)
        names[name] = in_machine_code(there, keep=False)
    code = compile(program.source, "<kernels>" if file is None else str(file), "exec")
    exec(code, names)  # noqa: S102  # made here, from the configuration
    made = {name: _made(names[name], sign, keep=file is not None) for name, sign in program.signatures}
    if file is not None and lies_on_disk(made.values()):
        note_kept(program.name)
    return {name: _entry(function) for name, function in made.items()}


def _entry(function: Any) -> Callable[..., Any]:
    """Return the machine code of a function that has one signature, as Python calls it.

    The function itself looks at the types of what it is given first, which costs more than the call.
    """
    (only,) = function.overloads.values()
    return cast("Callable[..., Any]", only.entry_point)


def _made(function: Callable[..., Any], signature: str, *, keep: bool) -> Any:
    try:
        return in_machine_code(function, signature, keep=keep)
    except Exception as error:
        if not keep:
            raise
        # Whatever a damaged file makes of itself when it is loaded.
        _log.warning("what was compiled before can't be used, and is compiled anew: %r", error)
        return in_machine_code(function, signature, keep=False)


def _name_of(source: str, helpers: Sequence[Callable[..., Any]]) -> str:
    """Return a name that says all that the machine code is made of.

    So nothing kept can be of an older source: Numba asks only whether the file has changed.
    """
    parts = [source, inspect.getsource(sys.modules[__name__]), *map(inspect.getsource, helpers)]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def _kept(name: str, source: str) -> Path | None:
    """Return a file of the source, beside which Numba keeps what it compiles; None if there can't be one."""
    folder = kernel_folder()
    if folder is None:
        return None
    file = folder / f"{name}.py"
    try:
        if not file.exists():
            make_room(folder)
            with NamedTemporaryFile("w", dir=folder, suffix=".new", delete=False) as new:
                new.write(source)
            # Several processes may start at once; none must find half a source.
            os.replace(new.name, file)
    except OSError:  # it can't be written to any more
        return None
    return file


def _cells() -> dict[str, Any]:
    """Functions from an address to the cells there."""
    from numba import from_dtype, types
    from numba.extending import intrinsic

    def made(kind: Any) -> Any:
        @intrinsic
        def cells(_context: Any, address: Any) -> Any:
            def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
                return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

            signature: Any = types.CPointer(kind)  # type: ignore[no-untyped-call]
            return signature(address), generate

        return cells

    return {name: made(from_dtype(np.dtype(code))) for code, name in CELLS.items()}


def _puts() -> dict[str, Any]:
    """Functions that write a number to an address that need not be aligned."""
    from numba import types
    from numba.extending import intrinsic

    def made(kind: Any) -> Any:
        @intrinsic
        def put(_context: Any, address: Any, value: Any) -> Any:
            def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
                number = context.cast(builder, arguments[1], value, kind)
                to = builder.inttoptr(arguments[0], context.get_data_type(kind).as_pointer())
                # Records are packed without gaps: the machine must not take the address for an aligned one.
                builder.store(number, to, align=1)
                return context.get_dummy_value()

            return types.void(address, value), generate

        return put

    return {f"put_{name}": made(getattr(types, kind)) for name, kind in _NUMBERS.items()}


def _gets() -> dict[str, Any]:
    """Functions that read a number at an address that need not be aligned; whole ones as 64 bits."""
    from numba import types
    from numba.extending import intrinsic

    def made(kind: Any) -> Any:
        given = kind if kind == types.float64 else types.int64

        @intrinsic
        def get(_context: Any, address: Any) -> Any:
            def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
                at = builder.inttoptr(arguments[0], context.get_data_type(kind).as_pointer())
                return context.cast(builder, builder.load(at, align=1), kind, given)

            return given(address), generate

        return get

    return {f"get_{name}": made(getattr(types, kind)) for name, kind in _NUMBERS.items()}
