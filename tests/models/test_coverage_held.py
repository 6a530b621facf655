"""Coverage is held online: under drift, ties, delay, and where outcomes never come."""

from __future__ import annotations

import math
import random
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from headrace.operators.models import ESTIMATORS
from headrace.operators.models.held_quantiles import HeldQuantiles

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
from estimating import SHARES, Draw, Row, around_100, built, run, slots_of
from judging import below, coverage

NAMES = pytest.mark.parametrize("name", ESTIMATORS)


def covered(rows: Sequence[Row], *, beyond: float = 0.03) -> None:
    """Assert that each quantile has its share below."""
    for head, share in enumerate(SHARES):
        assert below(rows, head) == pytest.approx(share, abs=beyond)


def step(chance: random.Random, number: int, slots: tuple[int, ...]) -> float:
    return around_100(chance, number, slots) * (4.0 if number >= 3000 else 1.0)


def wider(chance: random.Random, number: int, _: tuple[int, ...]) -> float:
    return 100.0 * math.exp(chance.gauss(0.0, 1.0 if number >= 3000 else 0.2))


def narrower(chance: random.Random, number: int, _: tuple[int, ...]) -> float:
    return 100.0 * math.exp(chance.gauss(0.0, 0.2 if number >= 3000 else 1.0))


def heavy(chance: random.Random, _: int, slots: tuple[int, ...]) -> float:
    """Cauchy: no mean, no variance."""
    return min(max(1000.0 + 10.0 * slots[0] + 5.0 * math.tan(math.pi * (chance.random() - 0.5)), 0.0), 1e15)


def trend(chance: random.Random, number: int, slots: tuple[int, ...]) -> float:
    return around_100(chance, number, slots) * math.exp(number / 4000.0)


def constant_at_first(chance: random.Random, number: int, _: tuple[int, ...]) -> float:
    return 7.0 if number < 3000 else chance.gauss(100.0, 10.0)


@NAMES
@pytest.mark.parametrize("draw", [around_100, step, wider, narrower, heavy, trend, constant_at_first])
def test_coverage_comes_back(name: str, draw: Draw) -> None:
    rows = run(built(name), draw, 6000)
    covered(rows[4000:])
    if draw is not constant_at_first:
        assert coverage(rows[4000:]) == pytest.approx(0.8, abs=0.03)
        covered(rows[1000:3000])


@NAMES
def test_most_of_coverage_is_back_after_few_outcomes(name: str) -> None:
    rows = run(built(name), step, 4000)
    assert coverage(rows[3000:3200]) > 0.5
    assert coverage(rows[3200:3500]) > 0.7


@pytest.mark.parametrize("delay", [30, 300, 1000])
def test_coverage_is_held_whatever_the_delay(delay: int) -> None:
    rows = run(built("log_location_scale"), around_100, 2 * delay + 6000, delay=delay)[2 * delay + 2000 :]
    covered(rows, beyond=0.04)
    widths = [estimated[2] - estimated[0] for _, estimated in rows]
    assert max(widths) < 5.0 * min(widths)  # it doesn't swing


@pytest.mark.parametrize("delay", [30, 300])
def test_coverage_is_held_for_what_was_served_even_if_all_of_it_lags(delay: int) -> None:
    """The estimates lag behind a trend by the delay: only what had been served shows it."""
    rows = run(built("log_location_scale"), trend, 9000, delay=delay)[4000:]
    covered(rows, beyond=0.05)


def test_a_step_under_delay_makes_no_estimate_absurd() -> None:
    rows = run(built("log_location_scale"), step, 9000, delay=1000)
    assert max(estimated[2] for _, estimated in rows[3000:]) < 30_000.0  # of about 1,000
    covered(rows[7000:], beyond=0.04)


def demand(chance: random.Random, number: int, _: tuple[int, ...]) -> float:
    often = 0.75 if number < 4000 else 0.05
    return 0.0 if chance.random() < often else float(1 + int(chance.expovariate(0.3)))


def test_zeros_do_not_drive_a_quantile_away() -> None:
    estimator = built("log_location_scale")
    rows = run(estimator, demand, 6000)
    assert all(estimated[0] >= 0.0 for _, estimated in rows)
    assert sum(value < estimated[0] for value, estimated in rows[1000:4000]) < 0.13 * 3000
    assert below(rows[1000:4000], 2) == pytest.approx(0.9, abs=0.03)
    assert all(0.0 < level < 1.0 for level in estimator.held.levels)
    covered(rows[4800:], beyond=0.05)  # with hardly any zeros


@NAMES
def test_coverage_that_is_not_held_stays_where_it_was_declared(name: str) -> None:
    estimator = built(name, coverage_rate=0.0)
    run(estimator, around_100, 500)
    assert estimator.held.levels == SHARES


@NAMES
def test_coverage_is_held_for_what_would_be_served_if_nothing_was(name: str) -> None:
    estimator, chance, rows = built(name), random.Random(3), []
    for number in range(6000):
        slots = slots_of(chance)
        value = step(chance, number, slots)
        rows.append((value, estimator.estimate(slots)))
        estimator.learn(slots, value)
    covered(rows[1000:3000])
    covered(rows[4000:])


def test_coverage_is_held_though_most_outcomes_never_come() -> None:
    """Then more of them are open than ever were learned."""
    estimator, chance, rows = built("log_location_scale"), random.Random(3), []
    for number in range(4000):
        slots = slots_of(chance)
        value = wider(chance, number, slots)
        rows.append((value, served := estimator.estimate(slots)))
        estimator.learn(slots, value, served, pending=50_000 + 50 * number)
    covered(rows[1000:3000], beyond=0.04)
    assert max(estimated[2] for _, estimated in rows) < 100_000.0


def test_a_quantile_goes_on_beyond_the_residuals_by_what_most_of_them_spread() -> None:
    held = HeldQuantiles((0.1, 0.9), residuals=200, coverage_rate=0.05)
    chance = random.Random(1)
    for number in range(200):
        held.add(1e5 if number == 77 else chance.gauss(0.0, 1.0))
    said = [held.residuals()]
    for _ in range(20):
        held.hold(1.0, (2.0, 3.0), 0.0, 1.0, 0)  # below all that was served
        said.append(held.residuals())
    lows = [low for low, _ in said]
    assert lows[20] < lows[10] < min(held._sorted)
    assert lows[20] > -20.0
    for _ in range(60):
        held.hold(4.0, (2.0, 3.0), 0.0, 1.0, 0)
    assert 1e5 < held.residuals()[1] < 1e5 + 20.0
    assert all(-1.0 <= level <= 2.0 for level in held.levels)
    for _ in range(600):
        held.hold(4.0, (2.0, 3.0), 0.0, 1.0, 0)
    assert held.levels == (2.0, 2.0)
