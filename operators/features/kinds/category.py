"""Which of several values a field has."""

from __future__ import annotations

from typing import Any

from ..event_lines import EventLines

__all__ = ["write"]


def write(source: EventLines, f: str, declaration: Any) -> None:
    """Write how it is read."""
    number = source.bind(source.vocabulary(declaration))
    source.object_features.append(f)
    source.object_read_lines.append(f"{f} = {number}({source.attribute(declaration.value)})")
