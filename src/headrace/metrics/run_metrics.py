"""Metrics of a run itself: how far it is, its phase, its recovery, what is running."""

from __future__ import annotations

from typing import Final

from headrace.metrics import scrape
from headrace.metrics.metric import Metric

__all__ = ["RUN"]

RUN: Final = (
    Metric(
        "headrace_shard_position",
        "gauge",
        "Place of the shard's next input in the merged order of all sources.",
        ("shard",),
        "now",
        scrape.positions,
    ),
    Metric(
        "headrace_event_time_seconds",
        "gauge",
        "The shard's watermark, event time in seconds since the epoch; absent before the first event.",
        ("shard",),
        "now",
        scrape.clocks,
    ),
    Metric(
        "headrace_phase",
        "gauge",
        "1 for the phase that the run is in, 0 for others.",
        ("phase",),
        "now",
        scrape.phases,
    ),
    Metric(
        "headrace_stalled_seconds",
        "gauge",
        "For how long the running flow has not asked for input; `/healthz` checks it.",
        (),
        "now",
        scrape.of_recorder(lambda recorder: recorder.stalled_s),
    ),
    Metric(
        "headrace_recovery_seconds",
        "gauge",
        "How long this process took to take up its state; 0 while it is at it.",
        (),
        "now",
        scrape.of_recorder(lambda recorder: recorder.recovery_s),
    ),
    Metric(
        "headrace_recovery_inputs",
        "gauge",
        "Inputs that this process has applied again from the journal so far.",
        ("shard",),
        "now",
        scrape.replayed,
    ),
    Metric(
        "headrace_recovery_inputs_expected",
        "gauge",
        "How many that will be once the state is taken up.",
        ("shard",),
        "now",
        scrape.to_replay,
    ),
    Metric(
        "headrace_deciding_twin",
        "gauge",
        "1 for the twin of the program that decides, 0 for the other; both give the same bytes.",
        ("shard", "twin"),
        "now",
        scrape.twins,
    ),
    Metric(
        "headrace_compilations_failed_total",
        "counter",
        "Times that machine code could not be compiled beside the run: plain Python goes on deciding.",
        (),
        "process",
        scrape.compilations_failed,
    ),
    Metric(
        "headrace_build_info",
        "info",
        "What is running; `config` is the beginning of the configuration's digest.",
        ("version", "python", "flow", "model", "config"),
        "now",
        scrape.build,
    ),
)
