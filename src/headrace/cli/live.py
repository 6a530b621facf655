"""A run as a person sees it: a live panel on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from types import TracebackType
from typing import Final, Protocol, Self, TypeAlias

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from headrace.cli.terminal import console_of
from headrace.operators.recommend.slates import SlateQuality
from headrace.runtime.runs import Latency, Observer, Progress, RunRequest, RunSummary
from headrace.shard import machine

__all__ = [
    "LivePanel",
    "PlainLines",
    "Summarize",
    "View",
    "eta_s",
    "progress_line",
    "quality_text",
    "summary_lines",
    "view",
    "views",
]

ACTIONS: Final = machine.ACTIONS["fraud"]
SLATE_ACTIONS: Final = machine.ACTIONS["recommend"]
_STYLES: Final = {
    "approve": "green",
    "review": "yellow",
    "block": "red",
    "recommend": "green",
    "none": "yellow",
}
_REASONS_SHOWN: Final = 5
_RATE_SECONDS: Final = 3.0
_REFRESH_SECONDS: Final = 0.1
_LINE_SECONDS: Final = 5.0
_BAR_WIDTH: Final = 30
_FRAME_WIDTH: Final = 6  # of the panel: a line and two blanks on either side
_WIDE: Final = 1000
_REVIEW_DAYS_SHOWN: Final = 7
_EPOCH_DAY: Final = date(1970, 1, 1).toordinal()

Summarize: TypeAlias = "Callable[[RunRequest, RunSummary], Iterable[str]]"
"""How a run that has ended is told, as lines of text."""


class View(Observer, Protocol):
    """An observer that shows what it is told, and must be closed so that the terminal is left in order."""

    def __enter__(self) -> Self:
        """Open it."""
        ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""


def view(console: Console, to: str) -> View:
    """Choose how to show a run: a panel if the console is a terminal that decisions don't go to."""
    decisions_here = to == "-" and sys.stdout.isatty()
    return LivePanel(console) if console.is_terminal and not decisions_here else PlainLines(console)


@contextmanager
def views(console: Console, summarize: Summarize | None = None) -> Iterator[tuple[Observer, Observer]]:
    """Observers of two runs at the same time: one panel if the console is a terminal.

    Parameters
    ----------
    console
        Where they are shown.
    summarize
        How each is told when it has ended; `summary_lines` if not given.
    """
    if not console.is_terminal:
        yield PlainLines(console, summarize=summarize), PlainLines(console, summarize=summarize)
        return
    with LivePanel(console, summarize) as panel:
        yield panel, panel.beside()


class Rate:
    """Inputs a second, over the last seconds."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque([(0.0, 0)])

    def update(self, progress: Progress) -> float:
        """Take in how far a run has come, and say how fast it is now."""
        self._seen.append((progress.elapsed_s, progress.inputs))
        while len(self._seen) > 2 and self._seen[1][0] < progress.elapsed_s - _RATE_SECONDS:
            self._seen.popleft()
        (began_s, before), (now_s, inputs) = self._seen[0], self._seen[-1]
        return (inputs - before) / (now_s - began_s) if now_s > began_s else 0.0


def eta_s(progress: Progress) -> float | None:
    """Seconds that a run still needs if it goes on as it did; None when its length isn't known."""
    if not progress.bytes_total or not progress.bytes_read:
        return None
    left = max(0, progress.bytes_total - progress.bytes_read)
    return progress.elapsed_s * left / progress.bytes_read


def _share(progress: Progress) -> float | None:
    return min(1.0, progress.bytes_read / progress.bytes_total) if progress.bytes_total else None


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"


def _time(event_time_ms: int) -> str:
    return f"{datetime.fromtimestamp(event_time_ms / 1000, UTC):%Y-%m-%d %H:%M}" if event_time_ms else "-"


def _percent(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "-"


def _latency(latency: Latency | None) -> str:
    if latency is None:
        return "latency -"
    return f"p50 {latency.p50_ms:.2f} ms, p99 {latency.p99_ms:.2f} ms, p99.9 {latency.p999_ms:.2f} ms"


def _batched(request: RunRequest | None) -> bool:
    """Whether lines come in full batches, as files are read as fast as possible: nothing arrives then."""
    return bool(
        request and request.speed is None and all(Path(source).is_file() for source in request.sources)
    )


def _actions(progress: Progress) -> tuple[str, ...]:
    """What decisions of this flow say."""
    return SLATE_ACTIONS if SLATE_ACTIONS[0] in progress.by_action else ACTIONS


def _quality(progress: Progress, evaluate: str) -> str:
    if SLATE_ACTIONS[0] in progress.by_action:
        return _slate_quality(progress.slates)
    quality = progress.quality
    if quality is None:
        return f"quality - (no {evaluate} yet)"
    return f"average precision {quality.average_precision:.3f}, AUC {quality.auc:.3f} against {evaluate}"


def _slate_quality(slates: SlateQuality | None) -> str:
    if slates is None:
        return "quality - (no next click yet)"
    return f"HR {slates.hit_rate:.3f}, MRR {slates.mrr:.3f}, NDCG {slates.ndcg:.3f} against next clicks"


def _evaluate(request: RunRequest | None) -> str:
    if request and request.flow == "recommend":
        return "next clicks"
    return "truth" if request and request.truth else "outcomes"


def _top(reasons: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(reasons.items(), key=lambda item: (-item[1], item[0]))[:_REASONS_SHOWN]


def progress_line(progress: Progress, rate: float, evaluate: str, *, latency: bool = True) -> str:
    """How far a run has come, as one line of text, with its latency where that means something."""
    share, eta = _share(progress), eta_s(progress)
    parts = [
        f"{share:.0%}" if share is not None else "",
        f"{progress.decisions:,} decisions",
        f"{rate:,.0f} events/s",
        *(
            f"{action} {_percent(progress.by_action.get(action, 0), progress.decisions)}"
            for action in _actions(progress)
        ),
        _quality(progress, evaluate),
        _latency(progress.latency) if latency else "",
        f"{_duration(eta)} left" if eta is not None else "",
    ]
    return " | ".join(part for part in parts if part)


def summary_lines(request: RunRequest, summary: RunSummary) -> Iterator[str]:
    """How a run ended, as lines of text."""
    progress, seconds = summary.progress, summary.seconds
    rate = progress.inputs / seconds if seconds else 0.0
    actions = ", ".join(f"{progress.by_action.get(action, 0):,} {action}" for action in _actions(progress))
    yield f"{progress.inputs:,} events in {seconds:.1f} s, {rate:,.0f} a second"
    yield f"{progress.decisions:,} decisions ({actions}) in {_place(request.to)}"
    if SLATE_ACTIONS[0] not in progress.by_action:
        yield (
            f"{progress.outcomes_matched:,} outcomes matched, {progress.outcomes_unmatched:,} not;"
            f" {progress.outcomes_corrected:,} corrections, {progress.outcomes_late:,} too late;"
            f" {progress.pending:,} payments wait"
        )
    yield f"{progress.duplicates:,} duplicates, {progress.dead_letters:,} dead letters{_beside(summary)}"
    if summary.reviews:
        yield _reviews_unused(summary.reviews, summary.reviews_per_day_max)
    yield f"quality: {quality_text(request, progress)}"
    of = "batch latency" if _batched(request) else "latency"
    yield f"{of}: {_latency(progress.latency).removeprefix('latency ')}"
    if request.state:
        yield f"state: {request.state}{f' ({progress.recovered})' if progress.recovered else ''}"
    yield from summary.notes


def quality_text(request: RunRequest, progress: Progress) -> str:
    """How well a run decides, and over how many evaluated decisions."""
    return f"{_quality(progress, _evaluate(request)).removeprefix('quality ')}{_evaluated(progress)}"


def _reviews_unused(unused: Mapping[int, int], per_day: int | None) -> str:
    """What is left of the review capacity: the last days one by one, and all together."""
    last = list(unused.items())[-_REVIEW_DAYS_SHOWN:]
    days = ", ".join(f"{date.fromordinal(_EPOCH_DAY + day)} {left:,}" for day, left in last)
    return f"reviews unused: {sum(unused.values()):,} on {len(unused):,} days of {per_day:,} each; {days}"


def _place(to: str) -> str:
    return "standard output" if to == "-" else to


def _beside(summary: RunSummary) -> str:
    return f" in {summary.dead_letters}" if summary.dead_letters and summary.progress.dead_letters else ""


def _evaluated(progress: Progress) -> str:
    if progress.slates is not None:
        return f" (the last {progress.slates.slates:,} evaluated)"
    quality = progress.quality
    return f" ({quality.frauds:,} frauds among the last {quality.payments:,} evaluated)" if quality else ""


class PlainLines:
    """Writes a line every few seconds, and a summary.

    Parameters
    ----------
    console
        Where to.
    every_s
        Seconds of a run between two lines.
    summarize
        How the run is told when it has ended; `summary_lines` if not given.
    """

    def __init__(
        self, console: Console, every_s: float = _LINE_SECONDS, *, summarize: Summarize | None = None
    ) -> None:
        self._console, self._every_s = console, every_s
        self._summarize = summarize or summary_lines
        self._request: RunRequest | None = None
        self._rate = Rate()
        self._next_s = every_s

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def started(self, request: RunRequest) -> None:
        """Say what begins."""
        self._request = request
        self._write(f"{request.flow}: {', '.join(request.sources)} to {_place(request.to)}")

    def progress(self, progress: Progress) -> None:
        """Write a line when it is time for one."""
        rate = self._rate.update(progress)
        if progress.elapsed_s >= self._next_s:
            self._next_s = progress.elapsed_s + self._every_s
            latency = not _batched(self._request)
            self._write(progress_line(progress, rate, _evaluate(self._request), latency=latency))

    def warning(self, message: str) -> None:
        """Write a warning."""
        self._write(f"warning: {message}")

    def finished(self, summary: RunSummary) -> None:
        """Write the summary."""
        if self._request:
            for line in self._summarize(self._request, summary):
                self._write(line)

    def _write(self, line: str) -> None:
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)


class _Seat:
    """One run's place in a panel: an observer that keeps what it is told."""

    def __init__(self, panel: LivePanel) -> None:
        self._panel = panel
        self.request: RunRequest | None = None
        self.shown, self.rate, self.told = Progress(), Rate(), 0.0
        self.summary: RunSummary | None = None

    def started(self, request: RunRequest) -> None:
        """Draw the empty panel."""
        self.request = request
        self._panel.draw()

    def progress(self, progress: Progress) -> None:
        """Have the panel drawn again when it is time to."""
        self.shown, self.told = progress, self.rate.update(progress)
        self._panel.draw_in_time()

    def warning(self, message: str) -> None:
        """Have a warning written above the panel."""
        self._panel.warning(message)

    def finished(self, summary: RunSummary) -> None:
        """Leave the last figures until all runs have ended."""
        self.shown, self.summary = summary.progress, summary
        self._panel.close_when_all_ended()


class LivePanel:
    """Draws a panel again and again, and leaves a summary in its place.

    Nothing is drawn from another thread, as a run forks to write checkpoints.

    Parameters
    ----------
    console
        The terminal.
    summarize
        How each run is told when all have ended; `summary_lines` if not given.
    """

    def __init__(self, console: Console, summarize: Summarize | None = None) -> None:
        self._console, self._summarize = console, summarize or summary_lines
        self._seats = [_Seat(self)]
        self._drawn_s = -_REFRESH_SECONDS
        self._live = Live(console=console, auto_refresh=False, transient=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def beside(self) -> Observer:
        """An observer for another run that goes on at the same time, and is drawn below."""
        seat = _Seat(self)
        self._seats.append(seat)
        return seat

    def started(self, request: RunRequest) -> None:
        """Draw the empty panel."""
        self._live.start()
        self._seats[0].started(request)

    def progress(self, progress: Progress) -> None:
        """Draw the panel again when it is time to."""
        self._seats[0].progress(progress)

    def warning(self, message: str) -> None:
        """Write a warning above the panel."""
        self._console.print(Text(f"warning: {message}", style="yellow"))

    def finished(self, summary: RunSummary) -> None:
        """Put the summary in the panel's place, once all runs have ended."""
        self._seats[0].finished(summary)

    def close_when_all_ended(self) -> None:
        """Put the summaries in the panel's place; until all are there, go on drawing."""
        if any(seat.summary is None for seat in self._seats):
            self.draw()
            return
        self._live.stop()
        for seat in self._seats:
            if seat.request and seat.summary:
                if len(self._seats) > 1:
                    self._console.print(Text(seat.request.flow, style="bold"))
                for line in self._summarize(seat.request, seat.summary):
                    self._console.print(line, markup=False, highlight=False)

    def draw_in_time(self) -> None:
        """Draw, but no more often than can be seen."""
        now_s = max(seat.shown.elapsed_s for seat in self._seats)
        if now_s >= self._drawn_s + _REFRESH_SECONDS:
            self._drawn_s = now_s
            self.draw()

    def draw(self) -> None:
        """Draw all runs, one below the other."""
        width = self._console.width - _FRAME_WIDTH
        close = len(self._seats) > 1
        panels = [_panel(seat.request, seat.shown, seat.told, width, close=close) for seat in self._seats]
        self._live.update(Group(*panels), refresh=True)


def _panel(
    request: RunRequest | None, progress: Progress, rate: float, width: int, *, close: bool = False
) -> Panel:
    """A run's panel; a close one leaves no line empty."""
    figures = _figures(progress, _evaluate(request), latency=not _batched(request))
    tables = [_decisions(progress), figures]
    tables += [_reasons(progress)] if progress.reasons or SLATE_ACTIONS[0] not in progress.by_action else []
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
    wide = console_of(width=_WIDE)
    return wide.measure(table).maximum


def _bar(progress: Progress, rate: float, width: int) -> Table:
    share, eta = _share(progress), eta_s(progress)
    row = Table.grid(padding=(0, 2))
    speed = f"{rate:,.0f} events/s"
    if share is None:
        row.add_row(f"{progress.inputs:,} events", speed, f"{_duration(progress.elapsed_s)} so far")
    else:
        left = f"{_duration(eta)} left" if eta is not None else ""
        figures = (f"{share:.0%}", f"{progress.inputs:,} events", speed, left)
        room = width - sum(len(figure) + 2 for figure in figures)
        bar = ProgressBar(total=1.0, completed=share, width=max(1, min(_BAR_WIDTH, room)))
        row.add_row(bar, *figures)
    return row


def _decisions(progress: Progress) -> Table:
    table = _pairs("decisions", f"{progress.decisions:,}")
    for action in _actions(progress):
        count = progress.by_action.get(action, 0)
        share = _percent(count, progress.decisions)
        table.add_row(Text(action, style=_STYLES[action]), f"{count:,}  {share:>6}")
    table.add_row("duplicates", f"{progress.duplicates:,}")
    table.add_row("dead letters", f"{progress.dead_letters:,}")
    return table


def _figures(progress: Progress, evaluate: str, *, latency: bool) -> Table:
    quality, seen, slates = progress.quality, progress.latency, progress.slates
    table = _pairs(f"against {evaluate}", "so far")
    if SLATE_ACTIONS[0] in progress.by_action:
        table.add_row("HR, MRR", f"{slates.hit_rate:.3f}, {slates.mrr:.3f}" if slates else "-")
    else:
        table.add_row("average precision", f"{quality.average_precision:.3f}" if quality else "-")
        table.add_row("AUC", f"{quality.auc:.3f}" if quality else "-")
    if latency:
        table.add_row("latency p50, p99", f"{seen.p50_ms:.2f}, {seen.p99_ms:.2f} ms" if seen else "-")
    table.add_row("event time", _time(progress.event_time_ms))
    if SLATE_ACTIONS[0] in progress.by_action:
        table.add_row("pending slates", f"{progress.pending:,}")
    else:
        table.add_row("outcomes, pending", f"{progress.outcomes_matched:,}, {progress.pending:,}")
    return table


def _reasons(progress: Progress) -> Table:
    table = _pairs("reasons", "")
    for code, count in _top(progress.reasons):
        table.add_row(code, f"{count:,}")
    return table


def _pairs(name: str, value: str) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column()
    table.add_column(justify="right")
    table.add_row(Text(name, style="bold"), Text(value, style="bold"))
    return table
