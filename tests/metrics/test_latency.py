"""The latency histogram against exact percentiles."""

from __future__ import annotations

from fractions import Fraction
from math import ceil

import numpy as np
import pytest

from headrace.metrics.latency import LatencyHistogram


@pytest.mark.parametrize("percent", [1, 50, 90, 99, 99.9, 100])
def test_percentiles_are_never_too_low_and_little_too_high(percent):
    latencies = LatencyHistogram()
    values = np.random.default_rng(1).lognormal(14.0, 2.0, 5000).astype(int)
    for ns in values.tolist():
        latencies.record(ns)
    rank = ceil(Fraction(str(percent)) * len(values) / 100)
    exact = int(np.sort(values)[rank - 1]) / 1e6
    assert exact <= latencies.percentile_ms(percent) <= exact * 1.024


def test_counts_weigh():
    latencies = LatencyHistogram()
    latencies.record(1_000_000, 999)
    latencies.record(80_000_000, 1)
    assert latencies.percentile_ms(99.9) == pytest.approx(1.0, rel=0.024)
    assert latencies.percentile_ms(99.91) == pytest.approx(80.0, rel=0.024)


def test_the_ends_are_open():
    latencies = LatencyHistogram()
    latencies.record(0)
    assert latencies.percentile_ms(50) == 0.0
    latencies.record(500_000_000_000)
    assert latencies.percentile_ms(100) == 500_000.0


def test_empty():
    assert LatencyHistogram().percentile_ms(50) == 0.0


def test_merging_is_counting_together():
    one, two, both = LatencyHistogram(), LatencyHistogram(), LatencyHistogram()
    for ns in range(10_000, 5_000_000, 9_999):
        (one if ns % 2 else two).record(ns)
        both.record(ns)
    one.merge(two)
    assert (one.counts, one.total, one.ns_max) == (both.counts, both.total, both.ns_max)
