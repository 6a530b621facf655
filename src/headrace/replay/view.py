"""A replay's report for a terminal, and the plain values that every report has."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from headrace.replay.past import Recorded
from headrace.replay.words import BOUNDS_HEAD, Part

__all__ = [
    "COMMANDED",
    "RANGED",
    "UNCOMPARED",
    "figures",
    "measures_plain",
    "pairs",
    "part_view",
    "points",
    "recorded_plain",
    "titled",
]

RANGED: Final = ("inputs", "ordinal_first", "ordinal_next")
UNCOMPARED: Final = ("erased", "erased_decisions", "old_only", "new_only")
COMMANDED: Final = ("commands", "commands_refused")
"""Fields of `headrace.replay.walk.Walked` that every report tells."""


def recorded_plain(each: Recorded) -> dict[str, Any]:
    """Return a configuration that was in force as plain values."""
    kept = {name: getattr(each, name) for name in ("ordinal", "digest", "learn", "code", "platform")}
    return {**kept, "model": each.model}


def measures_plain(found: Any) -> dict[str, Any]:
    """Return measures of both sides with their intervals as plain values."""
    return {
        name: {side: interval._asdict() for side, interval in compared._asdict().items()}
        for name, compared in found.items()
    }


def titled(title: str, body: RenderableType) -> tuple[RenderableType, ...]:
    """Return a part with its heading."""
    return "", Text(title, style="bold"), Padding(body, (0, 0, 0, 2), expand=False)


def part_view(part: Part) -> RenderableType:
    """Return what stands below a part's heading."""
    shown: list[RenderableType] = [Text(sentence) for sentence in part.sentences]
    if part.head:
        shown.append(figures(part.rows, part.head))
    elif part.rows:
        shown.append(pairs((name, said) for name, said in part.rows))
    if part.points is not None:
        shown.append(points(part.points))
    return Group(*shown)


def points(sentences: Iterable[str]) -> RenderableType:
    """Return sentences as a list."""
    grid = Table.grid(padding=(0, 1))
    for sentence in sentences:
        grid.add_row("-", Text(sentence))
    return grid if grid.row_count else Text("nothing")


def pairs(named: Iterable[tuple[str, str]]) -> RenderableType:
    """Return names, each with what is said of it."""
    grid = Table.grid(padding=(0, 2))
    for name, said in named:
        grid.add_row(Text(name, style="dim"), Text(said))
    return grid


def figures(rows: Iterable[Sequence[str]], head: Sequence[str] = BOUNDS_HEAD) -> RenderableType:
    """Rows of a name, old, new and the difference, or of what a head says."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in head:
        table.add_column(name, justify="left" if not name or head[0] else "right")
    for row in rows:
        table.add_row(*map(Text, row))
    return table
