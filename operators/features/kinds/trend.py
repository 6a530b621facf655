"""The slope through the last values of an entity."""

from __future__ import annotations

from typing import Any

from ..event_lines import EventLines
from ..ring_lines import keep_value

__all__ = ["write"]


def write(source: EventLines, f: str, declaration: Any) -> None:
    """Write how it is read, and how it moves on."""
    row, width = source.rows[declaration.entity], declaration.values
    count, values, times = keep_value(source, declaration, width)
    oldest = "0" if declaration.window_ms is None else f"t - {declaration.window_ms}"
    ring = f"{values}, {times}, {row} * {width}, {width}, {count}[{row}]"
    source.read_lines.append(f"{f} = slope_of({ring}, {oldest}) * {declaration.unit_ms}.0")
