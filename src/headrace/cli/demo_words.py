"""What the demonstration says of its stretches: days read as fast as possible, then events that arrive."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Final

from headrace.cli.demo import Made
from headrace.cli.run_lines import quality_text
from headrace.runtime.runs import RunRequest, RunSummary

__all__ = ["caught_up", "live", "live_opening"]

_HOUR_S: Final = 3_600.0


def caught_up(request: RunRequest, summary: RunSummary) -> Iterator[str]:
    """How fast the days that have passed were decided, and how well; not how late, as nothing arrived."""
    progress, seconds = summary.progress, summary.seconds
    rate = progress.inputs / seconds if seconds else 0.0
    actions = ", ".join(f"{count:,} {action}" for action, count in progress.by_action.items())
    yield (
        f"{request.flow} caught up: {progress.inputs:,} events in {seconds:.1f} s, {rate:,.0f} a second;"
        f" {progress.decisions:,} decisions ({actions})"
    )
    yield f"  {quality_text(request, progress)}"


def live_opening(made: Made) -> str:
    """Return what arrives now, and how."""
    assert made.speed is not None
    hours = made.live_s * made.speed / _HOUR_S
    return (
        f"Now live: {made.live_events:,} events of {hours:.1f} hours in {made.live_s:.1f} s, each when it is"
        f" due at {made.speed:,.0f} times its speed,"
        f" {made.live_events / made.live_s:,.0f} a second on average,"
        f" {made.burst:,} in the busiest tenth of one"
    )


def live(request: RunRequest, summary: RunSummary) -> Iterator[str]:
    """How soon events that arrived one by one were decided, and under which conditions that was measured."""
    progress, latency = summary.progress, summary.progress.latency
    if latency is None:
        yield f"{request.flow} live: none of {progress.inputs:,} events asked for a decision"
        return
    yield (
        f"{request.flow} live: {progress.decisions:,} decisions, p50 {latency.p50_ms:.1f} ms,"
        f" p99 {latency.p99_ms:.1f} ms from reading an event to its decision in the file"
        f" ({progress.inputs:,} events in {summary.seconds:.1f} s, both flows at once, {os.cpu_count()} CPUs)"
    )
