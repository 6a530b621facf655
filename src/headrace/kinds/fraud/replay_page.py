"""The report of a replay of payments as one HTML page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from headrace.config.printable import html_text
from headrace.kinds.fraud import replay_words as words
from headrace.kinds.fraud.replay_report import Report
from headrace.kinds.fraud.replay_rows import ACTIONS, Example
from headrace.replay.charts import Pair, bar_chart, interval_chart, recall_chart
from headrace.replay.intervals import Compared, Interval
from headrace.replay.page import KEY, heading, page, paragraphs, points, table
from headrace.replay.words import BOUNDS_HEAD, day, spread

__all__ = ["report_page"]

_SHARES: Final = {name: words.MEASURED[name] for name in ("precision", "recall", "average_precision")}


def report_page(report: Report) -> str:
    """Return the page."""
    return page(report.settings_digest, _body(report))


def _body(report: Report) -> Iterator[str]:
    yield paragraphs(words.period(report))
    yield heading(words.PARTS["changed"]) + paragraphs([words.changed(report)]) + _matrix(report)
    yield heading(words.PARTS["quality"]) + _quality(report) + paragraphs([words.costs(report)])
    if report.evaluated:
        yield _charts(report)
    yield heading(words.PARTS["unknown"]) + paragraphs(words.unknowns(report)) + _bounds(report)
    for name, examples in (("amount", report.by_amount), ("score", report.by_score)):
        if examples:
            yield heading(words.PARTS[name]) + _examples(examples, report.currency)
    yield heading(words.PARTS["not_comparable"]) + points(words.not_comparable(report.replayed))
    yield heading(words.PARTS["limits"]) + points(words.limits(report))
    yield heading(words.PARTS["origin"]) + table([], ([name, said] for name, said in words.origin(report)))


def _matrix(report: Report) -> str:
    titles = "".join(f'<th class="n">{action}</th>' for action in ACTIONS)
    rows = "".join(
        f"<tr><td>{action}</td>{''.join(_cell(report, row, column) for column in range(len(ACTIONS)))}</tr>"
        for row, action in enumerate(ACTIONS)
    )
    return f"<table><tr><th>old, new</th>{titles}</tr>{rows}</table>"


def _cell(report: Report, row: int, column: int) -> str:
    payments = report.matrix.payments[row][column]
    style = " changed" if payments and row != column else ""
    amount = f"{words.amount(report.matrix.amounts[row][column])} {report.currency}"
    return f'<td class="n{style}">{payments:,}<br><span class="dim">{html_text(amount)}</span></td>'


def _quality(report: Report) -> str:
    rows = [_measured(name, compared) for name, compared in report.quality.items()]
    return table(["", "old", "new", "new - old"], rows)


def _measured(name: str, compared: Compared) -> list[str]:
    def said(interval: Interval, *, signed: bool = False) -> str:
        return spread(name, interval, signed=signed)

    difference = said(compared.difference, signed=True)
    return [words.MEASURED[name], said(compared.old), said(compared.new), difference]


def _charts(report: Report) -> str:
    weeks = [Pair(day(week.from_ms), *week.cost) for week in report.weeks]
    cost = f"<h3>Cost by week, {html_text(report.currency)}</h3>{bar_chart(weeks, 'Cost by week')}"
    curves = (
        f"<h3>Precision over recall of the scores</h3>{recall_chart(report.curves)}" if report.frauds else ""
    )
    return f"{KEY}{interval_chart(report.quality, _SHARES)}{curves}{cost}"


def _bounds(report: Report) -> str:
    return table(BOUNDS_HEAD, words.bounds(report))


def _examples(examples: Sequence[Example], currency: str) -> str:
    rows = "".join(_example(each, currency) for each in examples)
    titles = "".join(f"<th>{title}</th>" for title in ("payment", "old", "new", "outcome"))
    return f"<table><tr>{titles}</tr>{rows}</table>"


def _example(each: Example, currency: str) -> str:
    head = f"{words.amount(each.amount)} {currency}, {day(each.event_time)}"
    who = f"customer {each.customer_id}, merchant {each.merchant_id}"
    named = f'{html_text(each.event_id)}<br>{html_text(head)}<br><span class="dim">{html_text(who)}</span>'
    sides = "".join(f"<td>{html_text(words.reasons(side))}</td>" for side in (each.old, each.new))
    return f"<tr><td>{named}</td>{sides}<td>{words.label(each)}</td></tr>"
