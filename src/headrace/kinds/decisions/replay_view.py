"""The report of a replay of declared decisions: as plain values, for a terminal, and as a page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.text import Text

from headrace.kinds.decisions.replay_report import DecisionReport, ReplayReport
from headrace.replay import words
from headrace.replay.page import page, paragraphs, part
from headrace.replay.view import (
    COMMANDED,
    RANGED,
    UNCOMPARED,
    measures_plain,
    part_view,
    recorded_plain,
    titled,
)
from headrace.replay.words import Part

__all__ = ["report_page", "report_plain", "report_view"]

_NAMES: Final = {
    "auc": "AUC",
    "average_precision": "average precision",
    "log_loss": "log loss",
    "calibration_error": "calibration error",
    "mean_score": "mean score",
    "pinball": "pinball loss",
    "coverage": "coverage",
    "width": "width",
    "absolute_error": "absolute error",
}
_ACTIONS_SHOWN: Final = 10
_INTERVALS: Final = "intervals"  # none are computed here


def report_plain(report: ReplayReport) -> dict[str, Any]:
    """Return a report as plain values."""
    replayed = report.replayed
    return {
        **{name: getattr(report, name) for name in ("version", "platform")},
        **{name: getattr(replayed, name) for name in (*RANGED, "added", "removed")},
        "old": list(map(recorded_plain, report.recorded)),
        "new": {"digest": report.settings_digest, "model": report.model, "learn": report.learn},
        "period": report.period._asdict(),
        "decisions": {
            name: {**each._asdict(), "quality": measures_plain(each.quality)}
            for name, each in report.decisions.items()
        },
        "not_comparable": {name: getattr(replayed, name) for name in UNCOMPARED},
        "commands": {name: getattr(replayed, name) for name in COMMANDED},
        "counts": replayed.counts,
        "limits": list(_limits(report)),
    }


def report_view(report: ReplayReport) -> RenderableType:
    """Return a report for a terminal."""
    shown: list[RenderableType] = [Text("\n".join(_period(report)))]
    for each in _parts(report):
        shown += titled(each.title, part_view(each))
    return Group(*shown)


def report_page(report: ReplayReport) -> str:
    """Return a report as an HTML page."""
    return page(report.settings_digest, _body(report))


def _body(report: ReplayReport) -> Iterator[str]:
    yield paragraphs(_period(report))
    yield from map(part, _parts(report))


def _period(report: ReplayReport) -> Iterator[str]:
    """Which decisions count."""
    period, names = report.period, ", ".join(report.decisions)
    if not report.decisions:
        yield "No event was decided by both configurations."
        return
    yield (
        f"Both decided {names}, from {words.day(period.first_ms)} to {words.day(period.last_ms)}."
        f" {words.began(period.warm_up_days)}"
    )
    yield f"What was told from {words.day(period.from_ms)} on is evaluated."


def _parts(report: ReplayReport) -> Iterator[Part]:
    """All sections behind the first words."""
    for name, each in report.decisions.items():
        rows = [
            (_NAMES[figure], *(words.figure(figure, side.value) for side in (one.old, one.new)), _signed(one))
            for figure, one in each.quality.items()
        ]
        yield Part(f"Decision {name}", list(_changed(each)), words.BOUNDS_HEAD, rows)
    replayed = report.replayed
    points = list(words.not_comparable(replayed, "events"))
    points += [f"The decision {name} is only in the new configuration." for name in replayed.added]
    points += [f"The decision {name} is only in the old configuration." for name in replayed.removed]
    yield Part(words.NOT_COMPARABLE, points=points)
    yield Part(words.LIMITS, points=list(_limits(report)))
    origin = [row for row in words.origin(report, "") if row[0] != _INTERVALS]
    yield Part(words.ORIGIN, rows=origin)


def _signed(one: Any) -> str:
    return words.figure("", one.difference.value, signed=True)


def _changed(each: DecisionReport) -> Iterator[str]:
    whole = max(each.compared, 1)
    yield (
        f"{each.changed:,} of {each.compared:,} ({each.changed / whole:.2%}) have other numbers;"
        f" {each.evaluated:,} are evaluated by what was told of them."
    )
    shown = [f"{count:,} {old} → {new}" for old, new, count in each.actions[:_ACTIONS_SHOWN]]
    yield f"Actions that changed: {', '.join(shown)}." if shown else "No action changed."


def _limits(report: ReplayReport) -> Iterator[str]:
    """Yield what a replay can't know."""
    yield (
        "What was done then shaped what was told: an action that hides how an event would have turned out"
        " hides it from both sides."
    )
    if not report.learn:
        yield "The new models did not learn (--no-learn)."
