"""The running mean of a feature over the entity's payments, robust and soon never missing."""

from __future__ import annotations

from array import array
from typing import Any

from ..source_lines import SourceLines

__all__ = ["write"]


def write(source: SourceLines, f: str, declaration: Any) -> None:
    """Write how it is read, and how it moves on."""
    entity, row, x = declaration.entity, source.rows[declaration.entity], source.value(declaration.value)
    number, mean = source.column(entity, "i", 0), source.column(entity, "d", 0.0)
    prior = source.priors[f] = array("d", [0.0, 0.0])  # payments, mean
    prior_name = source.bind(prior)
    clip, weight_min = declaration.clip, declaration.weight_min
    prior_weight = getattr(declaration, "prior_weight", 1.0)
    source.read_lines.append(
        f"{f} = {mean}[{row}] if {number}[{row}] else ({prior_name}[1] if {prior_name}[0] else nan)"
    )
    source.update(
        declaration,
        [
            f"n = {number}[{row}]; x = {x}",
            f"if {f} > 0:",
            # A single huge payment, which may be the fraud itself, must not become the customer's habit.
            *([f"    if x > {clip!r} * {f}: x = {clip!r} * {f}"] if clip else []),
            f"    w = 1.0 / (n + 1.0 + {prior_weight!r})",
            f"    {mean}[{row}] = {f} + (x - {f}) * (w if w > {weight_min!r} else {weight_min!r})",
            f"else: {mean}[{row}] = x",
            f"{number}[{row}] = n + 1",
            f"n = {prior_name}[0] + 1.0; {prior_name}[0] = n",
            f"{prior_name}[1] += (x - {prior_name}[1]) / n",
        ],
    )
