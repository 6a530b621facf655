"""Draws what is known of a run as a panel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rich.console import Group
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from headrace.cli.run_lines import (
    by_action,
    duration_text,
    eta_s,
    evaluated_by,
    in_batches,
    percent_text,
    share_of,
    strongest,
    time_text,
    view_of,
)
from headrace.cli.terminal import console_of
from headrace.cli.tones import STYLES
from headrace.runtime.runs import Progress, RunRequest

__all__ = ["panel_of"]


_BAR_WIDTH: Final = 30
_WIDE: Final = 1000


def panel_of(
    request: RunRequest | None, progress: Progress, rate: float, width: int, *, close: bool = False
) -> Panel:
    """Return a run's panel; a close one leaves no line empty."""
    tables = [_decisions(request, progress)]
    if request is not None:
        tables.append(_figures(request, progress))
        tables += [_reasons(progress)] if progress.reasons or view_of(request).with_reasons else []
    columns = _beside_each_other(tables, width)
    title = f"headrace {request.flow}" if request else "headrace"
    body = Group(_bar(progress, rate, width), *([] if close else [""]), columns)
    return Panel(body, title=title, title_align="left", expand=False, padding=(0 if close else 1, 2))


def _beside_each_other(tables: Sequence[Table], width: int) -> Table:
    """Tables in rows, as many in each as fit without breaking a line."""
    for across in range(len(tables), 0, -1):
        grid = Table.grid(padding=(0, 4))
        for at in range(0, len(tables), across):
            if at:
                grid.add_row()
            grid.add_row(*tables[at : at + across])
        if _width(grid) <= width:
            break
    return grid


def _width(table: Table) -> int:
    """Columns of the terminal that a table takes if it may take all that it wants."""
    # On the terminal's own console, whatever is wider would measure as wide as the terminal.
    wide = console_of(width=_WIDE)
    return wide.measure(table).maximum


def _bar(progress: Progress, rate: float, width: int) -> Table:
    share, eta = share_of(progress), eta_s(progress)
    row = Table.grid(padding=(0, 2))
    speed = f"{rate:,.0f} events/s"
    if share is None:
        row.add_row(f"{progress.inputs:,} events", speed, f"{duration_text(progress.elapsed_s)} so far")
    else:
        left = f"{duration_text(eta)} left" if eta is not None else ""
        figures = (f"{share:.0%}", f"{progress.inputs:,} events", speed, left)
        room = width - sum(len(figure) + 2 for figure in figures)
        bar = ProgressBar(total=1.0, completed=share, width=max(1, min(_BAR_WIDTH, room)))
        row.add_row(bar, *figures)
    return row


def _decisions(request: RunRequest | None, progress: Progress) -> Table:
    table = _pairs("decisions", f"{progress.decisions:,}")
    for action, count in by_action(request, progress):
        share = percent_text(count, progress.decisions)
        table.add_row(Text(action.name, style=STYLES[action.tone]), f"{count:,}  {share:>6}")
    table.add_row("duplicates", f"{progress.duplicates:,}")
    table.add_row("dead letters", f"{progress.dead_letters:,}")
    return table


def _figures(request: RunRequest, progress: Progress) -> Table:
    seen, shown = progress.latency, view_of(request)
    table = _pairs(f"against {evaluated_by(request)}", "so far")
    for name, value in shown.figures(progress):
        table.add_row(name, value)
    if not in_batches(request):
        table.add_row("latency p50, p99", f"{seen.p50_ms:.2f}, {seen.p99_ms:.2f} ms" if seen else "-")
    table.add_row("event time", time_text(progress.event_time_ms))
    table.add_row(*shown.pending(progress))
    return table


def _reasons(progress: Progress) -> Table:
    table = _pairs("reasons", "")
    for code, count in strongest(progress.reasons):
        table.add_row(code, f"{count:,}")
    return table


def _pairs(name: str, value: str) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column()
    table.add_column(justify="right")
    table.add_row(Text(name, style="bold"), Text(value, style="bold"))
    return table
