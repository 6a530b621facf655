"""The share of confirmed frauds among the entity's outcomes."""

from __future__ import annotations

from typing import Any

from ..source_lines import SourceLines
from ..window_lines import pane_local, panes_of, roll_window

__all__ = ["write"]


def _share(f: str, declaration: Any) -> str:
    """Line that makes a share of two counts; a prior is a share that counts like some outcomes."""
    prior = getattr(declaration, "prior", None)
    if prior is None:
        return f"{f} = {f} / {f}n if {f}n else nan"
    weight = declaration.prior_weight
    return f"{f} = ({f} + {prior * weight!r}) / ({f}n + {weight!r})"


def write(source: SourceLines, f: str, declaration: Any) -> None:
    """Write how it is read, and how outcomes move it on."""
    entity, row = declaration.entity, source.rows[declaration.entity]
    pane_ms, panes = panes_of(declaration)
    frauds, labelled = (source.column(entity, "i", 0) for _ in range(2))
    head = source.column(entity, "q", 0)
    fraud_ring, ring = (source.column(entity, "i", 0, panes) for _ in range(2))
    newest = f"{row} * {panes}, {panes}, {head}[{row}], k"
    source.read_lines += [
        f"{f}n = {labelled}[{row}]; {f} = {frauds}[{row}]",
        f"if {f}n:",
        f"    k = {pane_local(pane_ms)} - {head}[{row}]",
        f"    if k >= {panes}: {f}n = 0",
        # Outcomes come days after their payments, so that k is seldom 0. Without a fraud the sums are not
        # needed as long as the newest pane holds an outcome: the share is 0.
        f"    elif k > 0 and ({f} or not {ring}[{row} * {panes} + {head}[{row}] % {panes}]):",
        f"        {f}n = surviving_count({ring}, {newest}, {f}n)",
        f"        if {f}: {f} = surviving_count({fraud_ring}, {newest}, {f})",
        _share(f, declaration),
    ]
    rolled = [(labelled, ring, "count", "0"), (frauds, fraud_ring, "count", "0")]
    source.note_window(head, pane_ms, panes, rolled)
    counted = source.counted(declaration)
    source.on_label(
        row,
        counted.format(label="label"),
        [
            *roll_window(row, head, pane_ms, panes, rolled, labelled),
            f"if k > -{panes}:",
            f"    i = {row} * {panes} + p % {panes}",
            f"    {ring}[i] += 1; {labelled}[{row}] += 1",
            f"    if label: {fraud_ring}[i] += 1; {frauds}[{row}] += 1",
        ],
    )
    source.on_relabel(
        row,
        [
            f"p = {pane_local(pane_ms)}; i = {row} * {panes} + p % {panes}",
            f"if -{panes} < p - {head}[{row}] <= 0:",
            f"    if {counted.format(label='old')} and {ring}[i]:",
            f"        {ring}[i] -= 1; {labelled}[{row}] -= 1",
            f"        if old and {fraud_ring}[i]: {fraud_ring}[i] -= 1; {frauds}[{row}] -= 1",
            f"    if {counted.format(label='new')}:",
            f"        {ring}[i] += 1; {labelled}[{row}] += 1",
            f"        if new: {fraud_ring}[i] += 1; {frauds}[{row}] += 1",
        ],
    )
