"""The largest value of a feature over the entity's payments, or of prices that it clicked on."""

from __future__ import annotations

import math
from typing import Any

from ..source_lines import SourceLines
from ..window_lines import panes_of, read_window, roll_window

__all__ = ["write"]


def write(source: SourceLines, f: str, declaration: Any) -> None:
    """Write how it is read, and how it moves on."""
    row, value, entity = source.rows[declaration.entity], source.operand(declaration), declaration.entity
    # Highest values are kept in single precision: rings of them are most of an entity's bytes.
    highest = source.column(entity, "f", -math.inf)
    if declaration.window_ms is None:
        source.read_lines.append(f"{f} = {highest}[{row}]")
        lines = [f"if {value} > {highest}[{row}]: {highest}[{row}] = min({value}, 3e38)"]
    else:
        pane_ms, panes = panes_of(declaration)
        head, ring = source.column(entity, "q", 0), source.column(entity, "f", -math.inf, panes)
        source.note_window(head, pane_ms, panes, [(highest, ring, "max", "-inf")])
        source.read_lines += read_window(
            f, row, highest, head, pane_ms, [(f, ring, "max", "-inf")], panes, "-inf"
        )
        lines = [
            *roll_window(row, head, pane_ms, panes, [(highest, ring, "max", "-inf")], None),
            f"if k > -{panes}:",
            f"    i = {row} * {panes} + p % {panes}; x = {value} if {value} < 3e38 else 3e38",
            f"    if x > {ring}[i]: {ring}[i] = x",
            f"    if x > {highest}[{row}]: {highest}[{row}] = x",
        ]
    source.read_lines.append(f"if {f} == -inf: {f} = nan")
    source.update(declaration, lines)
