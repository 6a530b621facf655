"""Metrics of how long decisions and their stages take."""

from __future__ import annotations

from typing import Final

from headrace.metrics import scrape
from headrace.metrics.metric import Metric
from headrace.metrics.recorder import Recorder

__all__ = ["LATENCIES"]

LATENCIES: Final = (
    Metric(
        "headrace_decision_latency_seconds",
        "histogram",
        "From reading an event's batch to writing what was decided on it.",
        (),
        "process",
        scrape.of_recorder(Recorder.latencies),
    ),
    Metric(
        "headrace_end_to_end_latency_seconds",
        "histogram",
        "From the timestamp of a message to writing the decision on it; absent for files. Messages that were "
        "there before the state knew their topic don't count.",
        (),
        "process",
        scrape.end_to_end_latencies,
    ),
    Metric(
        "headrace_message_clock_skew_total",
        "counter",
        "Messages whose timestamp is wrong by more than `kafka.clock_skew_ms_max`; they wait since they were "
        "read. Absent for files.",
        ("direction",),
        "process",
        scrape.skewed,
    ),
    Metric(
        "headrace_topic_timestamp",
        "gauge",
        "1 for what the messages of an input topic are stamped with; absent before the first.",
        ("topic", "timestamp"),
        "now",
        scrape.timestamps,
    ),
    Metric(
        "headrace_stage_latency_seconds",
        "histogram",
        "Time an event spent in a stage, which is that of its whole batch.",
        ("stage",),
        "process",
        scrape.stage_latencies,
    ),
    Metric(
        "headrace_stage_busy_seconds_total",
        "counter",
        "Time a stage worked.",
        ("stage",),
        "process",
        scrape.stage_work,
    ),
)
