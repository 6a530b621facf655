"""Shows a run while it goes on: a panel on a terminal, lines elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Final, Protocol, Self

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from headrace.cli.run_lines import (
    Rate,
    Summarize,
    place_of,
    progress_line,
    summary_lines,
)
from headrace.cli.run_panel import panel_of
from headrace.runtime.runs import Observer, Progress, RunRequest, RunSummary

__all__ = ["LivePanel", "PlainLines", "View", "view", "views"]


_REFRESH_SECONDS: Final = 0.1
_LINE_SECONDS: Final = 5.0
_FRAME_WIDTH: Final = 6  # of the panel: a line and two blanks on either side


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
    # On the same terminal, a panel would be drawn over the decisions.
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
        self._write(f"{request.flow}: {', '.join(request.sources)} to {place_of(request.to)}")

    def progress(self, progress: Progress) -> None:
        """Write a line when it is time for one."""
        rate = self._rate.update(progress)
        if progress.elapsed_s >= self._next_s:
            self._next_s = progress.elapsed_s + self._every_s
            self._write(progress_line(self._request, progress, rate))

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
        # No thread draws: a run forks for its checkpoints, and a fork copies a lock as it stands.
        self._live = Live(console=console, auto_refresh=False, transient=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def beside(self) -> Observer:
        """Return an observer for another run that goes on at the same time, and is drawn below."""
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
        panels = [panel_of(seat.request, seat.shown, seat.told, width, close=close) for seat in self._seats]
        self._live.update(Group(*panels), refresh=True)
