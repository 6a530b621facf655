"""A quantile of a number over all events of an entity."""

from __future__ import annotations

from typing import Any

from ..event_lines import EventLines

__all__ = ["write"]


def write(source: EventLines, f: str, declaration: Any) -> None:
    """Write how it is read, and how its markers move on."""
    entity, row, value = declaration.entity, source.rows[declaration.entity], source.operand(declaration)
    count = source.column(entity, "q", 0)
    heights, places = source.column(entity, "d", 0.0, 5), source.column(entity, "q", 0, 5)
    q = repr(declaration.q)
    source.read_lines.append(f"{f} = marked_quantile({heights}, {row} * 5, {count}[{row}], {q})")
    source.update(
        declaration,
        [
            f"move_markers({heights}, {places}, {row} * 5, {count}[{row}], {value}, {q})",
            f"{count}[{row}] += 1",
        ],
    )
