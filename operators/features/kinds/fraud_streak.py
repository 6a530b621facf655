"""How many confirmed frauds came since the entity's last legitimate outcome."""

from __future__ import annotations

from typing import Any

from ..source_lines import SourceLines
from .outcome_episodes import episode_of

__all__ = ["write"]


def write(source: SourceLines, f: str, declaration: Any) -> None:
    """Write how it is read, and how outcomes move it on."""
    streak = source.bind(source.names[episode_of(source, declaration)].streak)
    source.read_lines.append(f"{f} = {streak}[{source.rows[declaration.entity]}]")
