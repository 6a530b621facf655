"""Compiles functions whose source is made at run time with Numba, and keeps what was compiled on the disk.

Such a source speaks of memory by its address: `doubles(a)`, `longs(a)`, `ints(a)`, `words(a)`, `shorts(a)`
and `floats(a)` are the cells from address `a` on; `put_long(a, x)`, `put_double`, `put_word` and `put_short`
write a number to an address that need not be aligned.
"""

from __future__ import annotations

import hashlib
import inspect
import logging
import math
import os
import sys
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from tempfile import NamedTemporaryFile
from types import FunctionType
from typing import Any, Final, cast

import numpy as np

from .kernels import compiles, in_machine_code, only_ours

__all__ = ["CELLS", "compile_source"]

CELLS: Final = {"d": "doubles", "q": "longs", "i": "ints", "f": "floats", "H": "shorts", "I": "words"}
"""What a source calls the cells from an address on, by their code in the `array` module."""

_log = logging.getLogger(__name__)
_SOURCES_MAX: Final = 64  # kept on the disk


def compile_source(
    source: str, helpers: Mapping[str, Callable[..., Any]], signatures: Mapping[str, str]
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

    Returns
    -------
    dict or None
        The compiled functions by name; None where Numba isn't installed or is switched off, or numbers don't
        lie in memory as they are kept, their lowest byte first.
    """
    # Bytes are put into records in the machine's order, which must be the journal's.
    if sys.byteorder != "little" or not compiles():
        return None
    return _compile(source, tuple(helpers.items()), tuple(signatures.items()))


@cache
def _compile(
    source: str,
    helpers: tuple[tuple[str, Callable[..., Any]], ...],
    signatures: tuple[tuple[str, str], ...],
) -> dict[str, Callable[..., Any]]:
    file = _kept(source, [helper for _, helper in helpers])
    names: dict[str, Any] = {**_cells(), **_puts(), "inf": math.inf, "nan": math.nan, "sqrt": math.sqrt}
    names["__name__"] = __name__  # what was kept is loaded as a part of a module that can be imported
    for name, helper in helpers:
        # With the compiled ones in place of those that its own module has.
        there = FunctionType(cast("FunctionType", helper).__code__, names)
        names[name] = in_machine_code(there, keep=False)
    code = compile(source, "<kernels>" if file is None else str(file), "exec")
    exec(code, names)  # noqa: S102  # made here, from the configuration
    return {name: _made(names[name], signature, keep=file is not None) for name, signature in signatures}


def _made(function: Callable[..., Any], signature: str, *, keep: bool) -> Any:
    try:
        return in_machine_code(function, signature, keep=keep)
    except Exception as error:
        if not keep:
            raise
        # Whatever a damaged file makes of itself when it is loaded.
        _log.warning("what was compiled before can't be used, and is compiled anew: %r", error)
        return in_machine_code(function, signature, keep=False)


def _kept(source: str, helpers: list[Callable[..., Any]]) -> Path | None:
    """Return a file of the source, beside which Numba keeps what it compiles; None if there can't be one.

    Numba asks only whether that file has changed, so all that goes into the code is in its name.
    """
    # All that the machine code is made of is in the name, so nothing kept can be of an older source.
    parts = [source, inspect.getsource(sys.modules[__name__]), *map(inspect.getsource, helpers)]
    digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()
    base = os.environ.get("XDG_CACHE_HOME")
    try:
        folder = (Path(base) if base else Path.home() / ".cache") / "headrace" / "kernels"
        if not only_ours(folder):
            return None
        file = folder / f"{digest[:32]}.py"
        if not file.exists():
            _make_room(folder)
            with NamedTemporaryFile("w", dir=folder, suffix=".new", delete=False) as new:
                new.write(source)
            # Several processes may start at once; none must find half a source.
            os.replace(new.name, file)
    except (OSError, RuntimeError):  # nowhere to write, or nobody's home
        return None
    return file


def _make_room(folder: Path) -> None:
    """Remove the oldest sources, with what was compiled of them, so that one more is not too many."""
    oldest_first = sorted(folder.glob("*.py"), key=lambda file: file.stat().st_mtime)
    for file in oldest_first[: max(len(oldest_first) - _SOURCES_MAX + 1, 0)]:
        for kept in (file, *(folder / "__pycache__").glob(f"{file.stem}.*")):
            kept.unlink(missing_ok=True)


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

    kinds = {"long": types.int64, "double": types.float64, "word": types.uint32, "short": types.uint16}
    return {f"put_{name}": made(kind) for name, kind in kinds.items()}
