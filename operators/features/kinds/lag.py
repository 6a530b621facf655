"""The value of a number in one of the last events of an entity."""

from __future__ import annotations

from typing import Any

from ..event_lines import EventLines
from ..ring_lines import keep_value

__all__ = ["write"]


def write(source: EventLines, f: str, declaration: Any) -> None:
    """Write how it is read, and how it moves on."""
    row, n = source.rows[declaration.entity], declaration.n
    count, values, times = keep_value(source, declaration, n)
    window = declaration.window_ms
    within = "" if window is None else f" and t - {times}[i] <= {window}"
    source.read_lines += [
        # Of a ring of as many places as it looks back, the oldest value stands where the next one will.
        f"k = {count}[{row}]; i = {row} * {n} + k % {n}",
        f"{f} = {values}[i] if k >= {n}{within} else nan",
    ]
