"""Which words, or runs of characters, a text has."""

from __future__ import annotations

from typing import Any

from ..categories import grams
from ..event_lines import EventLines

__all__ = ["write"]


def write(source: EventLines, f: str, declaration: Any) -> None:
    """Write how it is read."""
    slots = tuple(f"{f}_{number}" for number in range(declaration.slots_max))
    name = source.feature
    source.sizes[name], source.several[name] = declaration.buckets, slots
    hashed = source.bind(grams(declaration.of, declaration.n, declaration.buckets, declaration.slots_max))
    source.object_features += [f, *slots]
    found = "".join(f"{slot}, " for slot in slots)
    source.object_read_lines.append(f"{f}, ({found}) = {hashed}({source.attribute(declaration.value)})")
