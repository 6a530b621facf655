"""An entity's episodes of confirmed frauds, which three kinds of feature are read from."""

from __future__ import annotations

from typing import Any

from ..episodes import HISTORY, NUMBER_AT, NUMBER_MASK, Episodes
from ..source_lines import SourceLines

__all__ = ["episode_of"]


def episode_of(source: SourceLines, declaration: Any) -> str:
    """Return the name of the entity's episodes under that condition.

    Features with the same one share them.
    """
    row, condition = source.rows[declaration.entity], source.condition(declaration)
    group = source.episode_group(declaration)
    shared = [name for (of, _), name in source.episodes.items() if of == group]
    if declaration.kind == "last_legitimate_age" and shared:
        return shared[0]  # legitimate outcomes count under every condition
    if (group, condition) not in source.episodes:
        columns = source.episode_columns(declaration)
        streak, first, legitimate, history, seen = columns
        name = source.bind(Episodes(*(source.names[each] for each in columns)))
        source.episodes[group, condition] = name
        counted = source.counted(declaration)
        source.on_label(
            row,
            counted.format(label="label"),
            [
                f"n = {seen}[{row}]; {seen}[{row}] = n + 1",
                f"x = (number & {NUMBER_MASK}) << {NUMBER_AT} | t << 1 | label",
                f"{history}[{row} * {HISTORY} + n % {HISTORY}] = x",
                "if label:",
                f"    if not {streak}[{row}]: {first}[{row}] = t",
                f"    {streak}[{row}] += 1",
                "else:",
                f"    {streak}[{row}] = 0; {first}[{row}] = 0",
                f"    if t > {legitimate}[{row}]: {legitimate}[{row}] = t",
            ],
        )
        old, new = (f"({x} if {counted.format(label=x)} else None)" for x in ("old", "new"))
        source.on_relabel(row, [f"{name}.relabel({row}, number, t, {old}, {new})"])
    return source.episodes[group, condition]
