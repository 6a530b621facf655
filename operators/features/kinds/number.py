"""A number of the event itself."""

from __future__ import annotations

from typing import Any

from ..event_lines import EventLines

__all__ = ["write"]


def write(source: EventLines, f: str, declaration: Any) -> None:
    """Write how it is read."""
    source.read_lines.append(f"{f} = {source.number(declaration.value)}")
