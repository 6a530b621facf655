"""Time since the entity's first payment that meets the conditions, or its first click."""

from __future__ import annotations

from typing import Any

from ..age_lines import read_age
from ..source_lines import SourceLines

__all__ = ["write"]


def write(source: SourceLines, f: str, declaration: Any) -> None:
    """Write how it is read, and how it moves on."""
    row, first = source.rows[declaration.entity], source.time_column(declaration.entity)
    source.read_lines += read_age(f, f"{first}[{row}]", declaration.window_ms, declaration.unit_ms)
    expired = f" or t - {first}[{row}] > {declaration.window_ms}" if declaration.window_ms else ""
    source.update(declaration, [f"if not {first}[{row}]{expired}: {first}[{row}] = t"])
