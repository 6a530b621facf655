"""Exponentially weighted moments of a feature over the entity's payments."""

from __future__ import annotations

from typing import Any

from ..source_lines import SourceLines

__all__ = ["write_weighted"]


def write_weighted(source: SourceLines, f: str, declaration: Any, read: str) -> None:
    """Write how a moment is read, and how all of them move on."""
    entity, row, x = declaration.entity, source.rows[declaration.entity], source.value(declaration.value)
    weight, mean, square = (source.column(entity, "d", 0.0) for _ in range(3))
    last = source.time_column(entity, drops=False)  # the mean stays
    source.read_lines.append(
        f"{f} = {read.format(mean=mean, square=square, weight=weight, row=row)} if {weight}[{row}] else nan"
    )
    source.update(
        declaration,
        [
            # Decayed when something comes, not with time: an entity costs nothing between its payments. A
            # late one doesn't decay.
            f"d = 0.5 ** (max(0, t - {last}[{row}]) / {declaration.half_life_ms})",
            f"w = {weight}[{row}] * d + 1.0; x = {x} - {mean}[{row}]",
            f"{weight}[{row}] = w; {mean}[{row}] += x / w",
            # Welford's product of differences before and after: no difference of two large sums, which would
            # lose all digits.
            f"{square}[{row}] = {square}[{row}] * d + x * ({x} - {mean}[{row}])",
            f"if t > {last}[{row}]: {last}[{row}] = t",
        ],
    )
