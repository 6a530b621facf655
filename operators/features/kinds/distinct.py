"""How many different values of an identifying field an entity's payments or clicks had."""

from __future__ import annotations

from typing import Any

from ..source_lines import SourceLines

__all__ = ["write"]


def write(source: SourceLines, f: str, declaration: Any) -> None:
    """Write how it is read, and how it moves on."""
    row = source.rows[declaration.entity]
    sets = source.distinct_column(declaration.entity)
    source.object_features.append(f)
    source.object_read_lines.append(f"{f} = {sets}[{row}]")
    if declaration.window_ms is None:
        source.object_read_lines.append(f"{f} = len({f}) if {f} else 0")
    else:
        source.object_read_lines.append(
            f"{f} = sum([x > t - {declaration.window_ms} for x in {f}.values()]) if {f} else 0"
        )
    source.update(
        declaration,
        [
            f"x = {source.attribute(declaration.value)}",
            "if x is not None:",
            f"    s = {sets}[{row}]",
            f"    if s is None: s = {sets}[{row}] = {{}}",
            # Taken out and put in again, so that the value seen longest ago stands first and is what goes at
            # the limit.
            "    s[x] = max(t, s.pop(x, 0))",
            f"    if len(s) > {declaration.keys_max}: del s[next(iter(s))]",
        ],
        objects=True,
    )
