"""The mean of a number between 0 and 1, with a prior."""

from __future__ import annotations

from typing import Any

from ..event_lines import EventLines
from .sums import read_and_add

__all__ = ["write"]


def write(source: EventLines, f: str, declaration: Any) -> None:
    """Write how it is read, and how it moves on."""
    row, value = source.rows[declaration.entity], source.operand(declaration)
    read_and_add(
        source, f, declaration, row, f"(0.0 if {value} < 0.0 else 1.0 if {value} > 1.0 else {value})"
    )
    weight = declaration.prior_weight
    source.read_lines.append(f"{f} = ({f}s + {declaration.prior * weight!r}) / ({f}n + {weight!r})")
