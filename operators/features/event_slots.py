"""Slots of models over any event type: what crosses make of ranges, and of categories."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .event_lines import EventLines
from .slots import SlotGroup, write_bins

__all__ = ["write_event_slots"]


def write_event_slots(
    source: EventLines, bins: Mapping[str, Any], crosses: Mapping[str, Any]
) -> tuple[list[str], tuple[SlotGroup, ...], list[str]]:
    """Write the lines that find what crosses are made of.

    Returns
    -------
    lines
        They come after those that read the features.
    groups
        Of slots, in the order of the crosses; a feature of several slots gives several groups, which share
        their slots.
    active
        The source of each group's active slot.
    """
    source.read_lines = []
    used = {name for cross in crosses.values() for name in cross.of}
    sizes = write_bins(source, bins, used & bins.keys())
    locals_of = {name: f"b{number}" for number, name in enumerate(bins)}
    for name in sorted(used - bins.keys(), key=source.numbers.__getitem__):
        locals_of[name], sizes[name] = f"g{source.numbers[name]}", source.sizes[name] + 1
        if name not in source.several:
            value = source.value(name)
            # The last one is for what is missing.
            missing = source.sizes[name]
            source.read_lines.append(f"{locals_of[name]} = int({value}) if {value} == {value} else {missing}")
    groups: list[SlotGroup] = []
    active: list[str] = []
    offset = 0
    for name, cross in crosses.items():
        code, (first, *_) = getattr(cross, "code", None) or name, cross.of
        before = [str(offset)] if offset else []
        if first in source.several and first not in bins:
            size = sizes[first]
            for local in source.several[first]:
                groups.append(SlotGroup(name, code, offset, size))
                active.append(" + ".join([*before, local]))
        else:
            size, terms = 1, []
            for part in reversed(cross.of):
                terms.append(locals_of[part] + (f" * {size}" if size > 1 else ""))
                size *= sizes[part]
            groups.append(SlotGroup(name, code, offset, size))
            active.append(" + ".join([*before, *terms]))
        offset += size
    return source.read_lines, tuple(groups), active
