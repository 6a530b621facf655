"""A count and a sum over an entity's past, which a sum and a mean are read from."""

from __future__ import annotations

from typing import Any

from ..source_lines import SourceLines
from ..window_lines import panes_of, read_window, roll_window

__all__ = ["read_and_add"]


def read_and_add(source: SourceLines, f: str, declaration: Any, row: str, value: str) -> None:
    """Columns of a count and a sum, read into the locals `<f>n` and `<f>s`."""
    count, total = source.column(declaration.entity, "i", 0), source.column(declaration.entity, "d", 0.0)
    if declaration.window_ms is None:
        source.read_lines.append(f"{f}n = {count}[{row}]; {f}s = {total}[{row}]")
        source.update(declaration, [f"{count}[{row}] += 1; {total}[{row}] += {value}"])
        return
    pane_ms, panes = panes_of(declaration)
    head = source.column(declaration.entity, "q", 0)
    counts = source.column(declaration.entity, "i", 0, panes)
    sums = source.column(declaration.entity, "d", 0.0, panes)
    source.read_lines.append(f"{f}s = {total}[{row}]")
    source.read_lines += read_window(
        f"{f}n",
        row,
        count,
        head,
        pane_ms,
        [(f"{f}n", counts, "count", "0"), (f"{f}s", sums, "sum", "0.0")],
        panes,
    )
    rolled = [(count, counts, "count", "0"), (total, sums, "sum", "0.0")]
    source.note_window(head, pane_ms, panes, rolled)
    source.update(
        declaration,
        [
            *roll_window(row, head, pane_ms, panes, rolled, count),
            f"if k > -{panes}:",
            f"    i = {row} * {panes} + p % {panes}",
            f"    {counts}[i] += 1; {count}[{row}] += 1",
            f"    {sums}[i] += {value}; {total}[{row}] += {value}",
        ],
    )
