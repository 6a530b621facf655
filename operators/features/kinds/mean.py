"""The mean of a feature over the entity's payments, or of the prices that it clicked on."""

from __future__ import annotations

from typing import Any

from ..source_lines import SourceLines
from .sums import read_and_add

__all__ = ["write"]


def write(source: SourceLines, f: str, declaration: Any) -> None:
    """Write how it is read, and how it moves on."""
    row, value = source.rows[declaration.entity], source.operand(declaration)
    read_and_add(source, f, declaration, row, value)
    source.read_lines += [f"{f} = {f}s / {f}n if {f}n else nan"]
