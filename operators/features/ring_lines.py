"""Lines of generated source that keep the last values of an entity."""

from __future__ import annotations

from typing import Any

from .event_lines import EventLines

__all__ = ["keep_value"]


def keep_value(source: EventLines, declaration: Any, width: int) -> tuple[str, str, str]:
    """Keep so many values, in the order in which they come; name their count, the values and their times."""
    row = source.rows[declaration.entity]
    count, values, times = source.ring(declaration.entity, width)
    source.update(
        declaration,
        [
            f"i = {row} * {width} + {count}[{row}] % {width}",
            f"{values}[i] = {source.operand(declaration)}; {times}[i] = t; {count}[{row}] += 1",
        ],
    )
    return count, values, times
