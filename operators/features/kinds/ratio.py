"""One feature over another."""

from __future__ import annotations

from typing import Any, Final

from ..source_lines import SourceLines

__all__ = ["write"]


_DIVISOR_MIN: Final = 1e-280  # below it a quotient could be infinite


def write(source: SourceLines, f: str, declaration: Any) -> None:
    """Write how it is read."""
    value, over = source.value(declaration.value), source.value(declaration.over)
    source.read_lines.append(f"{f} = {value} / {over} if {over} > {_DIVISOR_MIN!r} else nan")
