"""Metrics of what a state holds and writes: entities, ids, journal, checkpoints."""

from __future__ import annotations

from typing import Final

from headrace.metrics import scrape
from headrace.metrics.metric import Metric

__all__ = ["STATE"]

STATE: Final = (
    Metric("headrace_entities", "gauge", "Entities known, by kind.", ("entity",), "now", scrape.entities),
    Metric(
        "headrace_known_ids",
        "gauge",
        "Event ids remembered to tell duplicates, by event type.",
        ("type",),
        "now",
        scrape.of_ids(len),
    ),
    Metric(
        "headrace_known_ids_dropped_total",
        "counter",
        "Event ids forgotten before their time for the limit on their number.",
        ("type",),
        "state",
        scrape.of_ids(lambda memory: memory.dropped_by_limit),
    ),
    Metric(
        "headrace_journal_written_bytes_total",
        "counter",
        "Bytes appended to the journal.",
        ("shard",),
        "process",
        scrape.of_journal(lambda journal: journal.bytes_written),
    ),
    Metric(
        "headrace_journal_writes_total",
        "counter",
        "Frames appended to the journal, each with one write.",
        ("shard",),
        "process",
        scrape.of_journal(lambda journal: journal.frames_written),
    ),
    Metric(
        "headrace_journal_bytes", "gauge", "The journal on disk.", ("shard",), "now", scrape.journal_files
    ),
    Metric(
        "headrace_journal_retired_segments_total",
        "counter",
        "Segments deleted for `journal.keep_days_max` or `journal.keep_bytes_max`.",
        ("shard",),
        "process",
        scrape.of_shard(lambda shard: shard.retired.segments),
    ),
    Metric(
        "headrace_journal_retired_bytes_total",
        "counter",
        "Their bytes.",
        ("shard",),
        "process",
        scrape.of_shard(lambda shard: shard.retired.bytes),
    ),
    Metric(
        "headrace_journal_erased_records_total",
        "counter",
        "Records erased by `headrace erase`.",
        ("shard",),
        "process",
        scrape.of_shard(lambda shard: shard.erased),
    ),
    Metric(
        "headrace_inputs_failed_total",
        "counter",
        "Inputs that made this process fail: an error of ours, or its death, as far as that is known.",
        (),
        "state",
        scrape.inputs_failed,
    ),
    Metric(
        "headrace_erasures_waiting",
        "gauge",
        "Erasures that were asked for and are not carried out yet.",
        ("shard",),
        "now",
        scrape.of_shard(lambda shard: shard.erasures_waiting),
    ),
    Metric(
        "headrace_checkpoints_total",
        "counter",
        "Checkpoints that ended, by result: `written` or `failed`.",
        ("shard", "result"),
        "process",
        scrape.checkpoints,
    ),
    Metric(
        "headrace_checkpoint_age_seconds",
        "gauge",
        "Since the newest checkpoint was written; since the start when there is none.",
        ("shard",),
        "now",
        scrape.checkpoint_ages,
    ),
    Metric(
        "headrace_checkpoint_duration_seconds_total",
        "counter",
        "From the fork of a checkpoint to its noticed end, summed over checkpoints.",
        ("shard",),
        "process",
        scrape.checkpoint_durations,
    ),
    Metric(
        "headrace_checkpoint_stall_seconds_total",
        "counter",
        "How long the forks held the flow up, summed over checkpoints.",
        ("shard",),
        "process",
        scrape.checkpoint_stalls,
    ),
)
