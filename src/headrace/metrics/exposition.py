"""Exposes a run's metrics to Prometheus; the only module that knows its client."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate
from typing import Final, TypeAlias

from prometheus_client import CollectorRegistry, ProcessCollector, make_wsgi_app
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
)
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from headrace.config.canonical import digest
from headrace.config.tables import RunSettings
from headrace.metrics import scrape
from headrace.metrics.measures import all_metrics
from headrace.metrics.metric import Metric
from headrace.metrics.recorder import Histogram, Recorder

__all__ = ["FLOW", "application"]

WsgiApp: TypeAlias = Callable[..., Iterable[bytes]]

FLOW: Final = "flow"
_DIGITS: Final = 12


def _family(metric: Metric, samples: Iterable[scrape.Sample], flow: str = "") -> Family:
    """One metric; its first label is the flow, as several may be scraped together."""
    names = (FLOW, *metric.labels)
    if metric.kind == "histogram":
        histogram = HistogramMetricFamily(metric.name, metric.help, labels=names)
        for labels, value in samples:
            assert isinstance(value, Histogram)
            histogram.add_metric((flow, *labels), _buckets(value), value.total)
        return histogram
    if metric.kind == "info":
        info = InfoMetricFamily(metric.name.removesuffix("_info"), metric.help)
        for labels, _ in samples:
            info.add_metric((), dict(zip(metric.labels, labels, strict=True)))
        return info
    make = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
    family = make(metric.name, metric.help, labels=names)
    for labels, value in samples:
        assert not isinstance(value, Histogram)
        family.add_metric((flow, *labels), value)
    return family


def _buckets(histogram: Histogram) -> list[tuple[str, float]]:
    edges = [*map(str, histogram.edges), "+Inf"]
    return list(zip(edges, map(float, accumulate(histogram.counts)), strict=True))


class _RunCollector(Collector):
    """Reads all metrics when it is asked."""

    def __init__(self, recorder: Recorder, settings: RunSettings) -> None:
        self._recorder, self._settings, self._config = recorder, settings, digest(settings)[:_DIGITS]

    def collect(self) -> Iterator[Family]:
        read, flow = scrape.Scrape(self._recorder, self._settings, self._config), self._settings.flow.kind
        for metric in all_metrics():
            yield _family(metric, metric.read(read), flow)

    def describe(self) -> Iterator[Family]:
        return (_family(metric, ()) for metric in all_metrics())


def application(recorder: Recorder, settings: RunSettings) -> WsgiApp:
    """Return a WSGI application that answers every GET with the metrics, in the format that is asked for.

    Parameters
    ----------
    recorder
        What the run tells; before its shards are open, what they count is absent or 0.
    settings
        The configuration of the run.
    """
    registry = CollectorRegistry()
    registry.register(_RunCollector(recorder, settings))
    ProcessCollector(registry=registry)
    app: WsgiApp = make_wsgi_app(registry)
    return app
