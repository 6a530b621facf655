"""What a metric is."""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

from headrace.metrics import scrape

__all__ = ["Metric"]

Kind: TypeAlias = Literal["counter", "gauge", "histogram", "info"]
Since: TypeAlias = Literal["state", "process", "now"]


class Metric(NamedTuple):
    """One metric.

    Attributes
    ----------
    name
        As it is exposed, without the suffixes that histograms add.
    kind
        What Prometheus calls its type; an `info` is always 1 and says something in its labels.
    help
        What it counts.
    labels
        Their names; their values are bounded by the contract and the configuration.
    since
        What a counter starts from: the first start of the state, so that it goes on over restarts, or the
        start of the process. `now` for what isn't counted.
    read
        Gives label values and value, for each combination that there is.
    """

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...]
    since: Since
    read: scrape.Reader
