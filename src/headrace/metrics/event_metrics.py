"""Metrics of what comes in and what is decided."""

from __future__ import annotations

from typing import Final

from headrace.metrics import scrape
from headrace.metrics.metric import Metric

__all__ = ["EVENTS"]

EVENTS: Final = (
    Metric(
        "headrace_events_total", "counter", "Lines read, by event type.", ("type",), "process", scrape.events
    ),
    Metric(
        "headrace_decisions_total",
        "counter",
        "Decisions, by action.",
        ("action",),
        "state",
        scrape.decisions,
    ),
    Metric(
        "headrace_kill_switch",
        "gauge",
        "1 while the kill switch is on.",
        ("shard",),
        "now",
        scrape.kill_switches,
    ),
    Metric("headrace_commands_total", "counter", "Commands applied.", (), "state", scrape.plain("commands")),
    Metric(
        "headrace_dead_letters_total",
        "counter",
        "Inputs that could not be used, by reason.",
        ("reason",),
        "state",
        scrape.dead_letters,
    ),
    Metric(
        "headrace_decisions_differing_total",
        "counter",
        "Decisions made again for inputs whose journal was lost, that are other ones than were delivered; "
        "absent for files.",
        (),
        "process",
        scrape.of_sending("differing"),
    ),
    Metric(
        "headrace_dead_letters_cut_total",
        "counter",
        "Dead letters that were too large for a message and went out cut; absent for files.",
        (),
        "process",
        scrape.of_sending("dead_letters_cut"),
    ),
    Metric(
        "headrace_tombstones_total",
        "counter",
        "Messages without a value; they are no dead letters.",
        (),
        "state",
        scrape.plain("tombstones"),
    ),
    Metric(
        "headrace_duplicates_total",
        "counter",
        "Events that had come before with the same content.",
        (),
        "state",
        scrape.plain("repeats"),
    ),
    Metric(
        "headrace_events_untimely_total",
        "counter",
        "Events that were late, or ahead of the watermark, by more than the limit.",
        ("type", "timing"),
        "state",
        scrape.untimely,
    ),
    Metric(
        "headrace_watermark_steps_total",
        "counter",
        "Steps of a shard's watermark that no event may make alone: accepted, refused, or set by a command.",
        ("result",),
        "state",
        scrape.clock_steps,
    ),
    Metric(
        "headrace_watermark_votes",
        "gauge",
        "Events that say now that the watermark is behind by more than the limit, and are no quorum yet.",
        ("shard",),
        "now",
        scrape.watermark_votes,
    ),
    Metric(
        "headrace_watermark_values_dropped_total",
        "counter",
        "Windows, times and values that lost what lay after the time to which a command put the clock back.",
        (),
        "state",
        scrape.plain("values_put_back"),
    ),
)
