"""A replay's report as one HTML page, which needs no other file and runs no script."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from headrace.cli import replay_slate_words as slate_words
from headrace.cli import replay_words as words
from headrace.cli.replay_charts import interval_chart, recall_chart, week_chart
from headrace.config.printable import html_text
from headrace.kinds.fraud.replay_report import Report
from headrace.kinds.fraud.replay_rows import ACTIONS, Example
from headrace.kinds.recommend.replay_report import SlateReport
from headrace.replay.intervals import Compared, Interval

__all__ = ["report_page"]

_STYLE: Final = """
:root { color-scheme: light dark; --ink: #1c2024; --dim: #60646c; --line: #dcdfe4; --paper: #fff;
  --changed: #fff4d6; --old: #80838d; --new: #0b68cb; }
@media (prefers-color-scheme: dark) { :root { --ink: #edeef0; --dim: #a4a8b0; --line: #373b42;
  --paper: #16181b; --changed: #40340f; --old: #9a9ea8; --new: #5aa9f8; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); margin: 2rem auto;
  max-width: 62rem; padding: 0 1rem; }
h1 { font-size: 1.6rem; margin-bottom: .2rem; }
h2 { font-size: 1.15rem; margin-top: 2.2rem; border-bottom: 1px solid var(--line); }
h3 { font-size: 1rem; }
p, li { max-width: 48rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin: .6rem 0; display: block;
  overflow-x: auto; }
th, td { padding: .25rem .8rem .25rem 0; text-align: left; vertical-align: top; }
th { font-weight: 600; border-bottom: 1px solid var(--line); }
td.n, th.n { text-align: right; white-space: nowrap; }
td.changed { background: var(--changed); }
.dim, .tick { color: var(--dim); fill: var(--dim); }
svg { width: 100%; max-width: 46rem; height: auto; font-size: 12px; fill: var(--ink); }
svg .tick { font-size: 11px; }
line.grid { stroke: var(--line); }
line.old, polyline.old { stroke: var(--old); }
line.new, polyline.new { stroke: var(--new); }
line.old, line.new, polyline { stroke-width: 2; fill: none; }
polyline.old { stroke-dasharray: 5 3; }
circle.old, rect.old { fill: var(--old); }
circle.new, rect.new { fill: var(--new); }
.key span { display: inline-block; width: .8rem; height: .8rem; margin: 0 .3rem 0 1rem; }
.key .old { background: var(--old); }
.key .new { background: var(--new); }
@media print { body { margin: 0; } h2 { break-after: avoid; } table, svg { break-inside: avoid; } }
"""
_NOTHING_ELSE: Final = "default-src 'none'; style-src 'unsafe-inline'"
_SHARES: Final = {name: words.MEASURED[name] for name in ("precision", "recall", "average_precision")}
_TITLE: Final = "<h1>The past under another configuration</h1>"
_KEY: Final = '<p class="key"><span class="old"></span>old<span class="new"></span>new</p>'


def report_page(report: Report | SlateReport) -> str:
    """Return the page: what events hold is escaped, and a policy in it forbids whatever is loaded or run."""
    body = _body(report) if isinstance(report, Report) else _slate_body(report)
    return _page(report.settings_digest, body)


def _page(digest: str, body: Iterable[str]) -> str:
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{_NOTHING_ELSE}">'
        f"<title>Headrace replay {digest[:12]}</title><style>{_STYLE}</style></head>"
        f"<body>{_TITLE}{''.join(body)}</body></html>\n"
    )


def _slate_body(report: SlateReport) -> Iterator[str]:
    yield _paragraphs(slate_words.period(report))
    for number, part in enumerate(slate_words.parts(report)):
        yield f"<h2>{html_text(part.title)}</h2>" + _paragraphs(part.sentences)
        yield _table(part.head, part.rows) if part.rows else ""
        yield "" if part.points is None else _list(part.points)
        if number == 1 and report.evaluated:
            yield _KEY + interval_chart(report.quality, slate_words.LIST_MEASURED)


def _body(report: Report) -> Iterator[str]:
    yield _paragraphs(words.period(report))
    yield _heading("changed") + _paragraphs([words.changed(report)]) + _matrix(report)
    yield _heading("quality") + _quality(report) + _paragraphs([words.costs(report)])
    if report.evaluated:
        yield _charts(report)
    yield _heading("unknown") + _paragraphs(words.unknowns(report)) + _bounds(report)
    for name, examples in (("amount", report.by_amount), ("score", report.by_score)):
        if examples:
            yield _heading(name) + _examples(examples, report.currency)
    yield _heading("not_comparable") + _list(words.not_comparable(report.replayed))
    yield _heading("limits") + _list(words.limits(report))
    yield _heading("origin") + _table([], ([name, said] for name, said in words.origin(report)))


def _heading(name: str) -> str:
    return f"<h2>{html_text(words.PARTS[name])}</h2>"


def _paragraphs(sentences: Iterable[str]) -> str:
    return "".join(f"<p>{html_text(sentence)}</p>" for sentence in sentences)


def _list(sentences: Iterable[str]) -> str:
    items = "".join(f"<li>{html_text(sentence)}</li>" for sentence in sentences)
    return f"<ul>{items}</ul>" if items else "<p>Nothing.</p>"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table of plain texts, in which all but the first column are numbers where there is a head."""
    titles = "".join(f"<th{_numeric(place)}>{html_text(title)}</th>" for place, title in enumerate(head))
    body = "".join(
        "<tr>"
        + "".join(
            f"<td{_numeric(place) if head else ''}>{_lines(cell)}</td>" for place, cell in enumerate(row)
        )
        + "</tr>"
        for row in rows
    )
    return f"<table>{f'<tr>{titles}</tr>' if head else ''}{body}</table>"


def _lines(cell: str) -> str:
    return html_text(cell).replace("\n", "<br>")


def _numeric(place: int) -> str:
    return ' class="n"' if place else ""


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
    return _table(["", "old", "new", "new - old"], rows)


def _measured(name: str, compared: Compared) -> list[str]:
    def said(interval: Interval, *, signed: bool = False) -> str:
        return words.spread(name, interval, signed=signed)

    difference = said(compared.difference, signed=True)
    return [words.MEASURED[name], said(compared.old), said(compared.new), difference]


def _charts(report: Report) -> str:
    cost = f"<h3>Cost by week, {html_text(report.currency)}</h3>{week_chart(report.weeks)}"
    curves = (
        f"<h3>Precision over recall of the scores</h3>{recall_chart(report.curves)}" if report.frauds else ""
    )
    return f"{_KEY}{interval_chart(report.quality, _SHARES)}{curves}{cost}"


def _bounds(report: Report) -> str:
    return _table(words.BOUNDS_HEAD, words.bounds(report))


def _examples(examples: Sequence[Example], currency: str) -> str:
    rows = "".join(_example(each, currency) for each in examples)
    titles = "".join(f"<th>{title}</th>" for title in ("payment", "old", "new", "outcome"))
    return f"<table><tr>{titles}</tr>{rows}</table>"


def _example(each: Example, currency: str) -> str:
    head = f"{words.amount(each.amount)} {currency}, {words.day(each.event_time)}"
    who = f"customer {each.customer_id}, merchant {each.merchant_id}"
    named = f'{html_text(each.event_id)}<br>{html_text(head)}<br><span class="dim">{html_text(who)}</span>'
    sides = "".join(f"<td>{html_text(words.reasons(side))}</td>" for side in (each.old, each.new))
    return f"<tr><td>{named}</td>{sides}<td>{words.label(each)}</td></tr>"
