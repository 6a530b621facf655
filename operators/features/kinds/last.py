"""The value of a number, or of a category, in the last event of an entity that had one."""

from __future__ import annotations

from typing import Any

from ..event_lines import EventLines

__all__ = ["write"]


def write(source: EventLines, f: str, declaration: Any) -> None:
    """Write how it is read, and how it moves on."""
    entity, row, value = declaration.entity, source.rows[declaration.entity], source.operand(declaration)
    if declaration.value in source.sizes:
        source.sizes[source.feature] = source.sizes[declaration.value]
    last, held = source.time_column(entity), source.column(entity, "d", 0.0)
    window = declaration.window_ms
    within = "" if window is None else f" and t - {last}[{row}] <= {window}"
    source.read_lines.append(f"{f} = {held}[{row}] if {last}[{row}]{within} else nan")
    # An event that comes late isn't the last one.
    source.update(declaration, [f"if t >= {last}[{row}]: {last}[{row}] = t; {held}[{row}] = {value}"])
