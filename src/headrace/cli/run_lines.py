"""What is said of a run in lines of text: how far it is, how fast, how it ended."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TypeAlias

from headrace.runtime.runs import Latency, Progress, RunRequest, RunSummary
from headrace.shard.kinds import Action, View, kind_named

__all__ = [
    "Rate",
    "Summarize",
    "by_action",
    "duration_text",
    "eta_s",
    "evaluated_by",
    "in_batches",
    "percent_text",
    "place_of",
    "progress_line",
    "quality_text",
    "share_of",
    "strongest",
    "summary_lines",
    "time_text",
    "view_of",
]


_REASONS_SHOWN: Final = 5
_RATE_SECONDS: Final = 3.0
Summarize: TypeAlias = "Callable[[RunRequest, RunSummary], Iterable[str]]"
"""How a run that has ended is told, as lines of text."""


class Rate:
    """Inputs a second, over the last seconds."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque([(0.0, 0)])

    def update(self, progress: Progress) -> float:
        """Take in how far a run has come, and say how fast it is now."""
        self._seen.append((progress.elapsed_s, progress.inputs))
        # One that is older than the span stays: a run that seldom says how far it is has a rate as well.
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


def share_of(progress: Progress) -> float | None:
    """How much of its input a run has read, 0 to 1; None if that isn't known."""
    return min(1.0, progress.bytes_read / progress.bytes_total) if progress.bytes_total else None


def duration_text(seconds: float) -> str:
    """Return a time span in the two largest units that it has."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"


def time_text(event_time_ms: int) -> str:
    """Return an event time, to the minute."""
    return f"{datetime.fromtimestamp(event_time_ms / 1000, UTC):%Y-%m-%d %H:%M}" if event_time_ms else "-"


def percent_text(part: int, whole: int) -> str:
    """Return a part of a whole, in percent."""
    return f"{part / whole:.1%}" if whole else "-"


def _latency(latency: Latency | None) -> str:
    if latency is None:
        return "latency -"
    return f"p50 {latency.p50_ms:.2f} ms, p99 {latency.p99_ms:.2f} ms, p99.9 {latency.p999_ms:.2f} ms"


def in_batches(request: RunRequest | None) -> bool:
    """Whether lines come in full batches, as files are read as fast as possible: nothing arrives then."""
    return bool(
        request and request.speed is None and all(Path(source).is_file() for source in request.sources)
    )


def view_of(request: RunRequest) -> View:
    """Return how runs of a request's kind are shown."""
    return kind_named(request.flow).view


def by_action(request: RunRequest | None, progress: Progress) -> Iterator[tuple[Action, int]]:
    """Yield what decisions say, in the kind's order, with how many do."""
    if request is not None:
        for action in kind_named(request.flow).actions(request.settings):
            yield action, progress.by_action.get(action.name, 0)


def _quality(request: RunRequest | None, progress: Progress) -> str:
    return view_of(request).quality(progress.quality, evaluated_by(request)) if request else "quality -"


def evaluated_by(request: RunRequest | None) -> str:
    """Return what a run's decisions are evaluated by."""
    if request is None:
        return "outcomes"
    return "truth" if request.truth else kind_named(request.flow).evaluation.by


def strongest(reasons: Mapping[str, int]) -> list[tuple[str, int]]:
    """Return the reasons that came most often, with their counts."""
    return sorted(reasons.items(), key=lambda item: (-item[1], item[0]))[:_REASONS_SHOWN]


def progress_line(request: RunRequest | None, progress: Progress, rate: float) -> str:
    """How far a run has come, as one line of text, with its latency where that means something."""
    share, eta = share_of(progress), eta_s(progress)
    parts = [
        f"{share:.0%}" if share is not None else "",
        f"{progress.decisions:,} decisions",
        f"{rate:,.0f} events/s",
        *(
            f"{action.name} {percent_text(count, progress.decisions)}"
            for action, count in by_action(request, progress)
        ),
        _quality(request, progress),
        "" if in_batches(request) else _latency(progress.latency),
        f"{duration_text(eta)} left" if eta is not None else "",
    ]
    return " | ".join(part for part in parts if part)


def summary_lines(request: RunRequest, summary: RunSummary) -> Iterator[str]:
    """How a run ended, as lines of text."""
    progress, seconds = summary.progress, summary.seconds
    rate = progress.inputs / seconds if seconds else 0.0
    actions = ", ".join(f"{count:,} {action.name}" for action, count in by_action(request, progress))
    yield f"{progress.inputs:,} events in {seconds:.1f} s, {rate:,.0f} a second"
    yield f"{progress.decisions:,} decisions ({actions}) in {place_of(request.to)}"
    yield from view_of(request).outcomes(progress)
    yield f"{progress.duplicates:,} duplicates, {progress.dead_letters:,} dead letters{_beside(summary)}"
    yield from summary.ended
    yield f"quality: {quality_text(request, progress)}"
    of = "batch latency" if in_batches(request) else "latency"
    yield f"{of}: {_latency(progress.latency).removeprefix('latency ')}"
    if request.state:
        yield f"state: {request.state}{f' ({progress.recovered})' if progress.recovered else ''}"
    yield from summary.notes


def quality_text(request: RunRequest, progress: Progress) -> str:
    """How well a run decides, and over how many evaluated decisions."""
    said = _quality(request, progress).removeprefix("quality ")
    return f"{said}{view_of(request).evaluated(progress.quality)}"


def place_of(to: str) -> str:
    """Where decisions go."""
    return "standard output" if to == "-" else to


def _beside(summary: RunSummary) -> str:
    return f" in {summary.dead_letters}" if summary.dead_letters and summary.progress.dead_letters else ""
