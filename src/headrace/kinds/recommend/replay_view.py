"""The report of a replay of slates: as plain values, for a terminal, and as a page."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from headrace.kinds.recommend import replay_words as words
from headrace.kinds.recommend.replay_report import SlateReport
from headrace.kinds.recommend.replay_slates import SlateExample
from headrace.replay.charts import interval_chart
from headrace.replay.page import KEY, page, paragraphs, part
from headrace.replay.view import (
    COMMANDED,
    RANGED,
    UNCOMPARED,
    measures_plain,
    part_view,
    recorded_plain,
    titled,
)

__all__ = ["report_page", "report_plain", "report_view"]


def report_plain(report: SlateReport) -> dict[str, Any]:
    """Return a report as plain values."""
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
        **{name: getattr(replayed, name) for name in RANGED},
        "old": list(map(recorded_plain, report.recorded)),
        "new": {"digest": report.settings_digest, "model": report.model, "learn": report.learn},
        "period": report.period._asdict(),
        "changed": report.changes._asdict(),
        "quality": measures_plain(report.quality),
        "examples": {by: list(map(_slate_example, found)) for by, found in report.examples.items()},
        "not_comparable": {name: getattr(replayed, name) for name in UNCOMPARED},
        "commands": {name: getattr(replayed, name) for name in COMMANDED},
        "counts": replayed.counts,
        "limits": list(words.limits(report)),
    }


def _slate_example(each: SlateExample) -> dict[str, Any]:
    return {**each._asdict(), **{side: list(map(asdict, getattr(each, side))) for side in ("old", "new")}}


def report_view(report: SlateReport) -> RenderableType:
    """Return a report for a terminal."""
    shown: list[RenderableType] = [Text("\n".join(words.period(report)))]
    for each in words.parts(report):
        shown += titled(each.title, part_view(each))
    return Group(*shown)


def report_page(report: SlateReport) -> str:
    """Return a report as an HTML page."""
    return page(report.settings_digest, _body(report))


def _body(report: SlateReport) -> Iterator[str]:
    yield paragraphs(words.period(report))
    for number, each in enumerate(words.parts(report)):
        yield part(each)
        if number == 1 and report.evaluated:
            yield KEY + interval_chart(report.quality, words.LIST_MEASURED)
