"""Days since the entity's last payment that was confirmed legitimate."""

from __future__ import annotations

from typing import Any

from ..age_lines import read_age
from ..source_lines import SourceLines
from .outcome_episodes import episode_of

__all__ = ["write"]


def write(source: SourceLines, f: str, declaration: Any) -> None:
    """Write how it is read, and how outcomes move it on."""
    last = source.bind(source.names[episode_of(source, declaration)].legitimate)
    source.read_lines += read_age(f, f"{last}[{source.rows[declaration.entity]}]", declaration.window_ms)
