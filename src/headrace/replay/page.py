"""A replay's report as one HTML page, which needs no other file and runs no script."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from headrace.config.printable import html_text
from headrace.replay.words import Part

__all__ = ["KEY", "heading", "page", "paragraphs", "part", "points", "table"]

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
_TITLE: Final = "<h1>The past under another configuration</h1>"
KEY: Final = '<p class="key"><span class="old"></span>old<span class="new"></span>new</p>'
"""Says which colour is whose."""


def page(digest: str, body: Iterable[str]) -> str:
    """Return the page: what events hold is escaped, and a policy in it forbids whatever is loaded or run.

    Parameters
    ----------
    digest
        Of the new configuration.
    body
        Its parts.
    """
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{_NOTHING_ELSE}">'
        f"<title>Headrace replay {digest[:12]}</title><style>{_STYLE}</style></head>"
        f"<body>{_TITLE}{''.join(body)}</body></html>\n"
    )


def heading(title: str) -> str:
    """Return the heading of a part."""
    return f"<h2>{html_text(title)}</h2>"


def part(part: Part) -> str:
    """Return a part with its heading."""
    rows = table(part.head, part.rows) if part.rows else ""
    return heading(part.title) + paragraphs(part.sentences) + rows + _points_of(part)


def _points_of(part: Part) -> str:
    return "" if part.points is None else points(part.points)


def paragraphs(sentences: Iterable[str]) -> str:
    """Return sentences, each a paragraph."""
    return "".join(f"<p>{html_text(sentence)}</p>" for sentence in sentences)


def points(sentences: Iterable[str]) -> str:
    """Return sentences as a list."""
    items = "".join(f"<li>{html_text(sentence)}</li>" for sentence in sentences)
    return f"<ul>{items}</ul>" if items else "<p>Nothing.</p>"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
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
