"""What is said of a run in lines of text: how far it is, how fast, how it ended."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Final, TypeAlias

from headrace.operators.recommend.slates import SlateQuality
from headrace.runtime.runs import Latency, Progress, RunRequest, RunSummary
from headrace.shard import machine

__all__ = [
    "SLATE_ACTIONS",
    "Rate",
    "Summarize",
    "actions_of",
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
]


ACTIONS: Final = machine.ACTIONS["fraud"]
SLATE_ACTIONS: Final = machine.ACTIONS["recommend"]
_REASONS_SHOWN: Final = 5
_RATE_SECONDS: Final = 3.0
_REVIEW_DAYS_SHOWN: Final = 7
_EPOCH_DAY: Final = date(1970, 1, 1).toordinal()
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


def actions_of(progress: Progress) -> tuple[str, ...]:
    """Return what decisions of this flow say."""
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


def evaluated_by(request: RunRequest | None) -> str:
    """Return what a run's decisions are evaluated by."""
    if request and request.flow == "recommend":
        return "next clicks"
    return "truth" if request and request.truth else "outcomes"


def strongest(reasons: Mapping[str, int]) -> list[tuple[str, int]]:
    """Return the reasons that came most often, with their counts."""
    return sorted(reasons.items(), key=lambda item: (-item[1], item[0]))[:_REASONS_SHOWN]


def progress_line(progress: Progress, rate: float, evaluate: str, *, latency: bool = True) -> str:
    """How far a run has come, as one line of text, with its latency where that means something."""
    share, eta = share_of(progress), eta_s(progress)
    parts = [
        f"{share:.0%}" if share is not None else "",
        f"{progress.decisions:,} decisions",
        f"{rate:,.0f} events/s",
        *(
            f"{action} {percent_text(progress.by_action.get(action, 0), progress.decisions)}"
            for action in actions_of(progress)
        ),
        _quality(progress, evaluate),
        _latency(progress.latency) if latency else "",
        f"{duration_text(eta)} left" if eta is not None else "",
    ]
    return " | ".join(part for part in parts if part)


def summary_lines(request: RunRequest, summary: RunSummary) -> Iterator[str]:
    """How a run ended, as lines of text."""
    progress, seconds = summary.progress, summary.seconds
    rate = progress.inputs / seconds if seconds else 0.0
    actions = ", ".join(f"{progress.by_action.get(action, 0):,} {action}" for action in actions_of(progress))
    yield f"{progress.inputs:,} events in {seconds:.1f} s, {rate:,.0f} a second"
    yield f"{progress.decisions:,} decisions ({actions}) in {place_of(request.to)}"
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
    of = "batch latency" if in_batches(request) else "latency"
    yield f"{of}: {_latency(progress.latency).removeprefix('latency ')}"
    if request.state:
        yield f"state: {request.state}{f' ({progress.recovered})' if progress.recovered else ''}"
    yield from summary.notes


def quality_text(request: RunRequest, progress: Progress) -> str:
    """How well a run decides, and over how many evaluated decisions."""
    return f"{_quality(progress, evaluated_by(request)).removeprefix('quality ')}{_evaluated(progress)}"


def _reviews_unused(unused: Mapping[int, int], per_day: int | None) -> str:
    """Return what is left of the review capacity: the last days one by one, and all together."""
    last = list(unused.items())[-_REVIEW_DAYS_SHOWN:]
    days = ", ".join(f"{date.fromordinal(_EPOCH_DAY + day)} {left:,}" for day, left in last)
    return f"reviews unused: {sum(unused.values()):,} on {len(unused):,} days of {per_day:,} each; {days}"


def place_of(to: str) -> str:
    """Where decisions go."""
    return "standard output" if to == "-" else to


def _beside(summary: RunSummary) -> str:
    return f" in {summary.dead_letters}" if summary.dead_letters and summary.progress.dead_letters else ""


def _evaluated(progress: Progress) -> str:
    if progress.slates is not None:
        return f" (the last {progress.slates.slates:,} evaluated)"
    quality = progress.quality
    return f" ({quality.frauds:,} frauds among the last {quality.payments:,} evaluated)" if quality else ""
