"""How many payments, or clicks, the entity had."""

from __future__ import annotations

from typing import Any

from ..source_lines import SourceLines
from ..window_lines import panes_of, read_window, roll_window

__all__ = ["write"]


def write(source: SourceLines, f: str, declaration: Any) -> None:
    """Write how it is read, and how it moves on."""
    row = source.rows[declaration.entity]
    if declaration.window_ms is None:
        total = source.column(declaration.entity, "i", 0)
        source.read_lines.append(f"{f} = {total}[{row}]")
        source.update(declaration, [f"{total}[{row}] += 1"])
        return
    pane_ms, panes = panes_of(declaration)
    total, head = source.column(declaration.entity, "i", 0), source.column(declaration.entity, "q", 0)
    ring = source.column(declaration.entity, "i", 0, panes)
    source.note_window(head, pane_ms, panes, [(total, ring, "count", "0")])
    source.read_lines += read_window(f, row, total, head, pane_ms, [(f, ring, "count", "0")], panes)
    source.update(
        declaration,
        [
            *roll_window(row, head, pane_ms, panes, [(total, ring, "count", "0")], total),
            # A late event counts in its own pane, as long as the window still has that.
            f"if k > -{panes}:",
            f"    {ring}[{row} * {panes} + p % {panes}] += 1; {total}[{row}] += 1",
        ],
    )
