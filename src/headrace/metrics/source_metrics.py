"""Metrics of what is read and of what is sent: sources, topics, brokers."""

from __future__ import annotations

from typing import Final

from headrace.metrics import scrape
from headrace.metrics.labels import SOURCE
from headrace.metrics.metric import Metric

__all__ = ["SOURCES"]

SOURCES: Final = (
    Metric(
        "headrace_source_read_bytes",
        "gauge",
        "Bytes used up of a source, by its number in the state; compressed ones if it is compressed.",
        SOURCE,
        "now",
        scrape.source_bytes,
    ),
    Metric(
        "headrace_source_size_bytes",
        "gauge",
        "Size of a source when it was opened; absent for a pipe.",
        SOURCE,
        "now",
        scrape.source_sizes,
    ),
    Metric(
        "headrace_source_lag_messages",
        "gauge",
        "Messages of a partition that are not yet read; absent for files, and while it isn't known.",
        SOURCE,
        "now",
        scrape.lags,
    ),
    Metric(
        "headrace_source_lag_known",
        "gauge",
        "1 while it is known how many messages of a partition are not yet read, 0 while nothing is heard of "
        "the broker that leads it; absent for files.",
        SOURCE,
        "now",
        scrape.lags_known,
    ),
    Metric(
        "headrace_source_lag_seconds",
        "gauge",
        "Age of the last message that was read of a partition, 0 at its end; where the end isn't known, time "
        "since it was reached. Absent for files.",
        SOURCE,
        "now",
        scrape.lag_ages,
    ),
    Metric(
        "headrace_topic_unread_partitions",
        "gauge",
        "Partitions that were added to an input topic and are not read before the next start; absent for "
        "files.",
        ("topic",),
        "now",
        scrape.unread_partitions,
    ),
    Metric(
        "headrace_send_queue_messages",
        "gauge",
        "Decisions and dead letters that no broker has acknowledged yet; absent in a run on files.",
        (),
        "now",
        scrape.queued_messages,
    ),
    Metric(
        "headrace_send_queue_bytes",
        "gauge",
        "Their bytes, as of about a second ago; absent in a run on files.",
        (),
        "now",
        scrape.queued_bytes,
    ),
    Metric(
        "headrace_process_restarts_total",
        "counter",
        "How often all processes that share a state were started again, by cause; since the start of their "
        "launcher, and each of them tells the same. Absent where there is one process.",
        ("cause",),
        "process",
        scrape.restarts,
    ),
    Metric(
        "headrace_headers_dropped_total",
        "counter",
        "Headers of `kafka.pass_headers` that did not go on for a limit; absent for files.",
        (),
        "process",
        scrape.headers_dropped,
    ),
    Metric(
        "headrace_merge_waits_total",
        "counter",
        "How often messages of a past that is caught up with waited for a partition that is behind; live "
        "ones never do. Absent for files.",
        (),
        "process",
        scrape.merge_waits,
    ),
    Metric(
        "headrace_brokers_silent_seconds",
        "gauge",
        "Time since anything was heard of the Kafka brokers; absent in a run on files.",
        (),
        "now",
        scrape.broker_silence,
    ),
)
