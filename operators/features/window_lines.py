"""Lines of generated source that read windows, and move them on."""

from __future__ import annotations

from typing import Any

__all__ = ["pane_local", "panes_of", "read_window", "roll_window"]


def panes_of(declaration: Any) -> tuple[int, int]:
    """Tell how long a pane of a declaration's window is, in milliseconds, and how many there are."""
    return max(1, declaration.window_ms // declaration.panes), declaration.panes


def pane_local(pane_ms: int) -> str:
    """Return the local that holds the number of the pane that `t` lies in."""
    return f"pane_{pane_ms}"


def read_window(
    test: str,
    row: str,
    total: str,
    head: str,
    pane_ms: int,
    parts: list[tuple[str, str, str, str]],
    panes: int,
    empty: str = "0",
) -> list[str]:
    """Lines that read totals into locals, over the panes that are still inside the window.

    `parts` are (local, ring, sum or max, value when nothing is left).
    """
    lines = [f"{test} = {total}[{row}]", f"if {test} != {empty}:"]
    lines += [f"    k = {pane_local(pane_ms)} - {head}[{row}]", "    if k > 0:"]
    lines += [
        f"        {local} = surviving_{how}({ring}, {row} * {panes}, {panes}, {head}[{row}], k, {local})"
        for local, ring, how, _ in parts
    ]
    return lines


def roll_window(
    row: str,
    head: str,
    pane_ms: int,
    panes: int,
    parts: list[tuple[str, str, str, str]],
    counts: str | None,
) -> list[str]:
    """Lines that move a window on to the event's pane `p`.

    `k` is how far. `parts` as (total, ring, how, empty).
    """
    lines = [f"p = {pane_local(pane_ms)}; k = p - {head}[{row}]", "if k > 0:"]
    if counts:
        lines.append(f"    if {counts}[{row}]:")
    pad = "        " if counts else "    "
    ring_at = f"{row} * {panes}, {panes}, {head}[{row}], k"
    lines += [
        f"{pad}{total}[{row}] = roll_{how}({ring}, {ring_at}, {total}[{row}])"
        for total, ring, how, _ in parts
    ]
    return [*lines, f"    {head}[{row}] = p"]
