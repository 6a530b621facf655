"""The exponentially weighted standard deviation of a feature over the entity's payments."""

from __future__ import annotations

from typing import Any

from ..source_lines import SourceLines
from .weighted import write_weighted

__all__ = ["write"]


def write(source: SourceLines, f: str, declaration: Any) -> None:
    """Write how it is read, and how it moves on."""
    write_weighted(source, f, declaration, "sqrt(max(0.0, {square}[{row}]) / {weight}[{row}])")
