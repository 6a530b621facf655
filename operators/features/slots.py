"""Slots of the model: which ranges a payment's features lie in, and what the crosses make of these."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping
from typing import NamedTuple

from ...config.fraud_flow import BinDeclaration, CrossDeclaration
from .source_lines import SourceLines

__all__ = ["SlotGroup", "write_bins", "write_slots"]


class SlotGroup(NamedTuple):
    """One cross of bins: of its slots, one is active for each event.

    Attributes
    ----------
    name, code
        The cross's name, and the reason code that it stands for.
    offset, size
        Its slots are `offset` to `offset + size - 1`.
    """

    name: str
    code: str
    offset: int
    size: int


def write_slots(
    source: SourceLines, bins: Mapping[str, BinDeclaration], crosses: Mapping[str, CrossDeclaration]
) -> tuple[tuple[SlotGroup, ...], list[str]]:
    """Add the lines that find the ranges; give the crosses, and for each the source of its active slot."""
    sizes = write_bins(source, bins, {name for cross in crosses.values() for name in cross.of})
    groups, active, offset = [], [], 0
    for name, cross in crosses.items():
        size, terms = 1, []
        for part in reversed(cross.of):
            terms.append(f"b{list(bins).index(part)}" + (f" * {size}" if size > 1 else ""))
            size *= sizes[part]
        active.append(" + ".join([*([str(offset)] if offset else []), *terms]))
        groups.append(SlotGroup(name, cross.code, offset, size))
        offset += size
    return tuple(groups), active


def write_bins(source: SourceLines, bins: Mapping[str, BinDeclaration], used: set[str]) -> dict[str, int]:
    """Lines that find the range of each bin used; how many ranges it has, a missing value being the last.

    A bin whose edges are all edges of another bin of the same feature is looked up from that one's range.
    """
    sizes: dict[str, int] = {}
    finer: dict[str, tuple[str, list[float]]] = {}
    numbers = {name: number for number, name in enumerate(bins)}
    # The finest first: a coarser bin over some of its edges is then a look-up in a table, not another search.
    for name in sorted(used, key=lambda name: (-len(bins[name].edges), numbers[name])):
        of, edges, local = bins[name].of, list(map(float, bins[name].edges)), f"b{numbers[name]}"
        if source.may_miss(of):
            edges.append(math.inf)  # what is missing is below no edge at all, not even this one
        sizes[name] = len(edges) + 1
        looked_up, finest = finer.setdefault(of, (local, edges))
        if looked_up != local and set(edges) <= set(finest):
            ranges = [bisect_right(edges, edge) for edge in (-math.inf, *finest)]
            source.read_lines.append(f"{local} = {source.bind(ranges)}[{looked_up}]")
        else:
            source.read_lines.append(f"{local} = bisect({source.bind(edges)}, {source.value(of)})")
    return sizes
