"""Time since the entity's last payment that meets the conditions, or its last click."""

from __future__ import annotations

from typing import Any

from ..age_lines import read_age
from ..source_lines import SourceLines

__all__ = ["write"]


def write(source: SourceLines, f: str, declaration: Any) -> None:
    """Write how it is read, and how it moves on."""
    row, last = source.rows[declaration.entity], source.time_column(declaration.entity)
    source.read_lines += read_age(f, f"{last}[{row}]", declaration.window_ms, declaration.unit_ms)
    source.update(declaration, [f"if t > {last}[{row}]: {last}[{row}] = t"])
