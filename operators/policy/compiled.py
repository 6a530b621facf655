"""Makes functions of source that the policy writes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

__all__ = ["function_of"]


def function_of(
    name: str, parameters: str, lines: Sequence[str], names: Mapping[str, Any]
) -> Callable[..., Any]:
    """Compile a function.

    Parameters
    ----------
    name, parameters
        Of the function.
    lines
        Its body: made of checked names, numbers and texts only, as nothing else may reach the compiler.
    names
        All the globals that it sees, beside `nan`; there are no builtins.
    """
    source = "\n    ".join([f"def {name}({parameters}):", *lines])
    # Without builtins even a slip in what was checked can open no file and call nothing.
    scope: dict[str, Any] = {"__builtins__": {}, "nan": math.nan, **names}
    exec(compile(source, "<policy>", "exec"), scope)
    function: Callable[..., Any] = scope[name]
    return function
