"""A number of the payment itself."""

from __future__ import annotations

from typing import Any

from ..source_lines import FIELDS, SourceLines

__all__ = ["write"]


def write(source: SourceLines, f: str, declaration: Any) -> None:
    """Write how it is read."""
    source.read_lines.append(f"{f} = {FIELDS[declaration.value]}")
