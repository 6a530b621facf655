"""What a replay has found, as text for people and JSON for programs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import orjson
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from headrace.cli import replay_slate_words as slate_words
from headrace.cli import replay_words as words
from headrace.cli.replay_slate_words import Part
from headrace.config.paths import path_text
from headrace.kinds.fraud.replay_report import Report, Week
from headrace.kinds.fraud.replay_rows import ACTIONS, Example
from headrace.kinds.recommend.replay_report import SlateReport
from headrace.kinds.recommend.replay_slates import SlateExample
from headrace.replay.past import Recorded
from headrace.replay.verify import Rederived

__all__ = ["rederived_json", "rederived_lines", "report_json", "report_plain", "report_view"]

_RANGED: Final = ("inputs", "ordinal_first", "ordinal_next")
_UNCOMPARED: Final = ("erased", "erased_decisions", "old_only", "new_only")
_COMMANDED: Final = ("commands", "commands_refused")


# ---------------------------------------------------------------- verify


def rederived_json(state: Path, shards: Sequence[Rederived]) -> bytes:
    """Return what deriving once more has found, as indented JSON."""
    said = {
        "state": path_text(state),
        "same": all(shard.same for shard in shards),
        "shards": [{**asdict(shard), "same": shard.same} for shard in shards],
    }
    return orjson.dumps(said, option=orjson.OPT_INDENT_2)


def rederived_lines(shards: Iterable[Rederived]) -> Iterator[str]:
    """Yield what deriving once more has found, as lines."""
    for shard in shards:
        yield f"{shard.shard}: {_verdict(shard)}"
        yield (
            f"  {shard.inputs:,} inputs applied again, {shard.decisions:,} decisions compared,"
            f" {shard.differences:,} differences"
        )
        begins = "the beginning of the journal" if shard.begins == "genesis" else shard.begins
        yield f"  from {begins}, inputs from {shard.ordinal_first:,} and before {shard.ordinal_next:,}"
        yield from _left_out(shard)
        yield f"  written by Headrace {', '.join(shard.codes) or 'unknown'}"
        yield f"  platform {'; '.join(shard.platforms) or 'not kept'}"


def _verdict(shard: Rederived) -> str:
    if shard.damage is not None:
        return f"DAMAGED: {shard.damage}"
    return "DIFFERENT" if shard.differences else "the same"


def _left_out(shard: Rederived) -> Iterator[str]:
    if shard.ordinal_first:
        yield (
            f"  the journal's beginning is gone; {shard.gone:,} inputs that are kept stand before the oldest"
            " checkpoint, and are left out"
        )
    if shard.erased:
        went_on = ", ".join(shard.resumed) or "nowhere"
        yield (
            f"  {shard.erased:,} erased; {shard.unknown:,} inputs behind them can't be derived,"
            f" {shard.unknown_decisions:,} decisions among them; went on from {went_on}"
        )
    for each in shard.passed_over:
        yield f"  passed over: {each}"
    if shard.torn is not None:
        yield f"  ends before {shard.torn}"


# ---------------------------------------------------------------- another configuration: JSON


def report_json(report: Report | SlateReport) -> bytes:
    """Return a report as indented JSON; what isn't defined is null."""
    plain = report_plain(report) if isinstance(report, Report) else _slate_report_plain(report)
    return orjson.dumps(plain, option=orjson.OPT_INDENT_2)


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
        **{name: getattr(replayed, name) for name in _RANGED},
        "old": list(map(_recorded, report.recorded)),
        "new": {"digest": report.settings_digest, "model": report.model},
        "period": report.period._asdict(),
        **{name: getattr(report, name) for name in counted},
        "changed": {"actions": list(ACTIONS), **report.matrix._asdict()},
        "costs": {**report.costs.settings.model_dump(), "origin": report.costs.origin},
        "quality": _measures(report.quality),
        "unknown": report.unknown._asdict(),
        "if_legitimate": _measures(report.if_legitimate),
        "if_fraud": _measures(report.if_fraud),
        "weeks": list(map(_week, report.weeks)),
        "curves": report.curves,
        "examples": {
            "amount": [each._asdict() for each in report.by_amount],
            "score": [each._asdict() for each in report.by_score],
        },
        "not_comparable": {name: getattr(replayed, name) for name in (*_UNCOMPARED, "withheld")},
        "commands": {name: getattr(replayed, name) for name in (*_COMMANDED, "lists_left_out")},
        "counts": replayed.counts,
        "limits": list(words.limits(report)),
    }


def _slate_report_plain(report: SlateReport) -> dict[str, Any]:
    replayed = report.replayed
    plain = (
        "version",
        "platform",
        "slates",
        "compared",
        "evaluated",
        "evaluated_new",
        "sessions",
        "followed",
    )
    return {
        **{name: getattr(report, name) for name in plain},
        **{name: getattr(replayed, name) for name in _RANGED},
        "old": list(map(_recorded, report.recorded)),
        "new": {"digest": report.settings_digest, "model": report.model, "learn": report.learn},
        "period": report.period._asdict(),
        "changed": report.changes._asdict(),
        "quality": _measures(report.quality),
        "examples": {by: list(map(_slate_example, found)) for by, found in report.examples.items()},
        "not_comparable": {name: getattr(replayed, name) for name in _UNCOMPARED},
        "commands": {name: getattr(replayed, name) for name in _COMMANDED},
        "counts": replayed.counts,
        "limits": list(slate_words.limits(report)),
    }


def _slate_example(each: SlateExample) -> dict[str, Any]:
    return {**each._asdict(), **{side: list(map(asdict, getattr(each, side))) for side in ("old", "new")}}


def _week(week: Week) -> dict[str, Any]:
    return {**week._asdict(), "cost": week.cost._asdict(), "flagged": week.flagged._asdict()}


def _recorded(each: Recorded) -> dict[str, Any]:
    kept = {name: getattr(each, name) for name in ("ordinal", "digest", "learn", "code", "platform")}
    return {**kept, "model": each.model}


def _measures(found: Any) -> dict[str, Any]:
    return {
        name: {side: interval._asdict() for side, interval in compared._asdict().items()}
        for name, compared in found.items()
    }


# ---------------------------------------------------------------- another configuration: terminal


def report_view(report: Report | SlateReport) -> RenderableType:
    """Return a report for a terminal."""
    if not isinstance(report, Report):
        return _slate_report_view(report)
    parts: list[RenderableType] = [Text("\n".join(words.period(report)))]
    for name, body in _sections(report):
        parts += ["", Text(words.PARTS[name], style="bold"), Padding(body, (0, 0, 0, 2), expand=False)]
    return Group(*parts)


def _sections(report: Report) -> Iterator[tuple[str, RenderableType]]:
    yield "changed", Group(Text(words.changed(report)), _matrix(report))
    yield "quality", Group(_quality(report), Text(words.costs(report)))
    yield "unknown", Group(*map(Text, words.unknowns(report)), _figures(words.bounds(report)))
    for name, examples in (("amount", report.by_amount), ("score", report.by_score)):
        if examples:
            yield name, _examples(examples, report.currency)
    yield "not_comparable", _list(words.not_comparable(report.replayed))
    yield "limits", _list(words.limits(report))
    yield "origin", _pairs(words.origin(report))


def _slate_report_view(report: SlateReport) -> RenderableType:
    shown: list[RenderableType] = [Text("\n".join(slate_words.period(report)))]
    for part in slate_words.parts(report):
        shown += ["", Text(part.title, style="bold"), Padding(_part(part), (0, 0, 0, 2), expand=False)]
    return Group(*shown)


def _part(part: Part) -> RenderableType:
    shown: list[RenderableType] = [Text(sentence) for sentence in part.sentences]
    if part.head:
        shown.append(_figures(part.rows, part.head))
    elif part.rows:
        shown.append(_pairs((name, said) for name, said in part.rows))
    if part.points is not None:
        shown.append(_list(part.points))
    return Group(*shown)


def _list(sentences: Iterable[str]) -> RenderableType:
    grid = Table.grid(padding=(0, 1))
    for sentence in sentences:
        grid.add_row("-", Text(sentence))
    return grid if grid.row_count else Text("nothing")


def _pairs(pairs: Iterable[tuple[str, str]]) -> RenderableType:
    grid = Table.grid(padding=(0, 2))
    for name, said in pairs:
        grid.add_row(Text(name, style="dim"), Text(said))
    return grid


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
        old, new = (words.spread(name, each, between="\n") for each in (compared.old, compared.new))
        difference = words.spread(name, compared.difference, signed=True, between="\n")
        rows.append((words.MEASURED[name], old, new, difference))
    return _figures(rows)


def _figures(rows: Iterable[Sequence[str]], head: Sequence[str] = words.BOUNDS_HEAD) -> RenderableType:
    """Rows of a name, old, new and the difference, or of what a head says."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in head:
        table.add_column(name, justify="left" if not name or head[0] else "right")
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def _examples(examples: Sequence[Example], currency: str) -> RenderableType:
    grid = Table.grid(padding=(0, 2))
    for each in examples:
        head = f"{words.amount(each.amount)} {currency}, {words.day(each.event_time)}, {words.label(each)}"
        grid.add_row(Text(each.event_id, style="bold"), Text(head))
        grid.add_row(Text("old", style="dim"), Text(words.reasons(each.old)))
        grid.add_row(Text("new", style="dim"), Text(words.reasons(each.new)))
    return grid
