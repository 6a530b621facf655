"""The report of a replay of payments, as plain values and for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from headrace.kinds.fraud import replay_words as words
from headrace.kinds.fraud.replay_report import Report, Week
from headrace.kinds.fraud.replay_rows import ACTIONS, Example
from headrace.replay.view import (
    COMMANDED,
    RANGED,
    UNCOMPARED,
    figures,
    measures_plain,
    pairs,
    points,
    recorded_plain,
    titled,
)
from headrace.replay.words import day, spread

__all__ = ["report_plain", "report_view"]


def report_plain(report: Report) -> dict[str, Any]:
    """Return a report as plain values."""
    replayed = report.replayed
    plain = ("version", "platform", "currency", "payments")
    counted = (
        "compared",
        "evaluated",
        "frauds",
        "learned_beyond",
        "reviewed_by_one",
        "old_shadow",
        "new_shadow",
    )
    return {
        **{name: getattr(report, name) for name in plain},
        **{name: getattr(replayed, name) for name in RANGED},
        "old": list(map(recorded_plain, report.recorded)),
        "new": {"digest": report.settings_digest, "model": report.model},
        "period": report.period._asdict(),
        **{name: getattr(report, name) for name in counted},
        "changed": {"actions": list(ACTIONS), **report.matrix._asdict()},
        "costs": {**report.costs.settings.model_dump(), "origin": report.costs.origin},
        "quality": measures_plain(report.quality),
        "unknown": report.unknown._asdict(),
        "if_legitimate": measures_plain(report.if_legitimate),
        "if_fraud": measures_plain(report.if_fraud),
        "weeks": list(map(_week, report.weeks)),
        "curves": report.curves,
        "examples": {
            "amount": [each._asdict() for each in report.by_amount],
            "score": [each._asdict() for each in report.by_score],
        },
        "not_comparable": {name: getattr(replayed, name) for name in (*UNCOMPARED, "withheld")},
        "commands": {name: getattr(replayed, name) for name in (*COMMANDED, "lists_left_out")},
        "counts": replayed.counts,
        "limits": list(words.limits(report)),
    }


def _week(week: Week) -> dict[str, Any]:
    return {**week._asdict(), "cost": week.cost._asdict(), "flagged": week.flagged._asdict()}


def report_view(report: Report) -> RenderableType:
    """Return a report for a terminal."""
    parts: list[RenderableType] = [Text("\n".join(words.period(report)))]
    for name, body in _sections(report):
        parts += titled(words.PARTS[name], body)
    return Group(*parts)


def _sections(report: Report) -> Iterator[tuple[str, RenderableType]]:
    yield "changed", Group(Text(words.changed(report)), _matrix(report))
    yield "quality", Group(_quality(report), Text(words.costs(report)))
    yield "unknown", Group(*map(Text, words.unknowns(report)), figures(words.bounds(report)))
    for name, examples in (("amount", report.by_amount), ("score", report.by_score)):
        if examples:
            yield name, _examples(examples, report.currency)
    yield "not_comparable", points(words.not_comparable(report.replayed))
    yield "limits", points(words.limits(report))
    yield "origin", pairs(words.origin(report))


def _matrix(report: Report) -> RenderableType:
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("old, new")
    for action in ACTIONS:
        table.add_column(action, justify="right")
        table.add_column(report.currency, justify="right", style="dim")
    for row, action in enumerate(ACTIONS):
        cells = []
        for column in range(len(ACTIONS)):
            style = "" if row == column else "bold"
            cells += [
                Text(f"{report.matrix.payments[row][column]:,}", style=style),
                Text(words.amount(report.matrix.amounts[row][column])),
            ]
        table.add_row(action, *cells)
    return table


def _quality(report: Report) -> RenderableType:
    rows = []
    for name, compared in report.quality.items():
        old, new = (spread(name, each, between="\n") for each in (compared.old, compared.new))
        difference = spread(name, compared.difference, signed=True, between="\n")
        rows.append((words.MEASURED[name], old, new, difference))
    return figures(rows)


def _examples(examples: Sequence[Example], currency: str) -> RenderableType:
    grid = Table.grid(padding=(0, 2))
    for each in examples:
        head = f"{words.amount(each.amount)} {currency}, {day(each.event_time)}, {words.label(each)}"
        grid.add_row(Text(each.event_id, style="bold"), Text(head))
        grid.add_row(Text("old", style="dim"), Text(words.reasons(each.old)))
        grid.add_row(Text("new", style="dim"), Text(words.reasons(each.new)))
    return grid
