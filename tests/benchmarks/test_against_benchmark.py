"""The interval that a comparison of two commits is evaluated by."""

from __future__ import annotations

import random

import pytest


@pytest.fixture(scope="module")
def against(benchmark_named):
    return benchmark_named("_against")


def test_of_twenty_pairs_the_interval_is_from_the_sixth_to_the_fifteenth(against):
    ratios = [1 + place / 100 for place in range(20)]
    assert against.interval(ratios) == (ratios[5], ratios[14])


@pytest.mark.parametrize("count", [1, 2, 5])
def test_of_few_pairs_it_is_the_whole_range(against, count):
    ratios = [1 + place / 100 for place in range(count)]
    assert against.interval(ratios) == (ratios[0], ratios[-1])


def test_it_holds_the_median_as_often_as_it_says(against):
    rng = random.Random(7)
    held = 0
    for _ in range(2_000):
        low, high = against.interval([rng.lognormvariate(0.0, 0.05) for _ in range(20)])
        held += low <= 1.0 <= high
    assert 0.95 <= held / 2_000 < 0.98
