"""What a table says of a field."""

from __future__ import annotations

from typing import Any

from ..event_lines import EventLines

__all__ = ["write"]


def write(source: EventLines, f: str, declaration: Any) -> None:
    """Write how it is read."""
    table = source.lookup_tables[declaration.table]
    found = f"{source.bind(table.found.get)}({source.attribute(declaration.value)})"
    source.object_features.append(f)
    if table.holds == "text":
        number = source.bind(source.vocabulary(declaration))
        source.object_read_lines.append(f"{f} = {number}({found})")
    else:
        # Looked up once: two look-ups would cost more than the comparison.
        source.object_read_lines += [f"{f} = {found}", f"if {f} is None: {f} = nan"]
