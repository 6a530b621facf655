"""The metrics that every run has, whatever it decides; kinds of decision add their own."""

from __future__ import annotations

from itertools import chain
from typing import Final

from headrace.metrics.event_metrics import EVENTS
from headrace.metrics.latency_metrics import LATENCIES
from headrace.metrics.metric import Metric
from headrace.metrics.quality_metrics import QUALITY
from headrace.metrics.run_metrics import RUN
from headrace.metrics.source_metrics import SOURCES
from headrace.metrics.state_metrics import STATE
from headrace.shard.kinds import kinds

__all__ = ["METRICS", "all_metrics"]

METRICS: Final = (
    *EVENTS,
    *LATENCIES,
    *QUALITY,
    *STATE,
    *SOURCES,
    *RUN,
)


def all_metrics() -> tuple[Metric, ...]:
    """Give every metric: those that all runs have, and those of each kind that is registered.

    One that several kinds have, under one name, is one: of a run only its own kind has figures.
    """
    found: dict[str, Metric] = {}
    for metric in (*METRICS, *(metric for kind in kinds() for metric in kind.metrics())):
        known = found.get(metric.name)
        found[metric.name] = metric if known is None else _both(known, metric)
    return tuple(found.values())


def _both(one: Metric, other: Metric) -> Metric:
    assert one._replace(read=other.read) == other, f"{one.name} means two things"
    return one._replace(read=lambda scrape: chain(one.read(scrape), other.read(scrape)))
