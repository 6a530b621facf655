"""Calibration of scores online: what it learns, that it keeps the order, reliability, saving, limits."""

from __future__ import annotations

import math
import random
import sys
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.operators.models import Calibration
from headrace.operators.models.platt import fit, loss
from headrace.operators.models.reliability import reliability_of

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
from judging import auc, calibration_error


def sigmoid(odds: float) -> float:
    return 1.0 / (1.0 + math.exp(-odds))


Pair = tuple[float, int]
Wrong = Callable[[float], float]


def outcomes(count: int, wrong: Wrong, *, seed: int = 3, moved: Wrong = lambda _: 0.0) -> list[Pair]:
    """Scores that are wrong in log-odds, with labels; `moved` shifts the true log-odds with time."""
    chance, found = random.Random(seed), []
    for number in range(count):
        odds = chance.gauss(-1.5, 1.2)
        label = int(chance.random() < sigmoid(odds + moved(number)))
        found.append((sigmoid(wrong(odds)), label))
    return found


def run(calibration: Calibration, taken: Sequence[Pair], *, delay: int = 0) -> list[Pair]:
    """Calibrate each score before its label, and those since, are known."""
    found = []
    for place, (score, label) in enumerate(taken):
        found.append((calibration.apply(score), label))
        if place >= delay:
            calibration.learn(*taken[place - delay])
    return found


WRONG = {
    "overconfident": lambda odds: 2.5 * odds,
    "underconfident": lambda odds: 0.3 * odds,
    "shifted up": lambda odds: odds + 2.0,
    "shifted down": lambda odds: odds - 2.0,
    "both": lambda odds: 0.5 * odds - 3.0,
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
@pytest.mark.parametrize("delay", [0, 2000])
def test_scores_become_right(wrong: Wrong, delay: int) -> None:
    taken = outcomes(12_000, wrong)
    found = run(Calibration(), taken, delay=delay)
    assert calibration_error(taken[6000:]) > 0.05
    assert calibration_error(found[6000:]) < 0.02
    assert auc(found[6000:]) > auc(taken[6000:]) - 0.001


def test_right_scores_stay_as_they_are() -> None:
    taken = outcomes(20_000, lambda odds: odds)
    calibration = Calibration()
    found = run(calibration, taken)
    assert calibration_error(found) < calibration_error(taken) + 0.003
    assert auc(found) > auc(taken) - 0.001
    assert sum(said == score for (said, _), (score, _) in zip(found, taken, strict=True)) > 5_000


def test_a_base_rate_that_drifts_is_followed() -> None:
    taken = outcomes(20_000, lambda odds: odds, moved=lambda number: 1.2 if number > 10_000 else 0.0)
    found = run(Calibration(outcomes=2000), taken)
    assert calibration_error(taken[13_000:]) > 0.15
    assert calibration_error(found[13_000:]) < 0.02
    assert auc(found[13_000:]) > auc(taken[13_000:]) - 0.001


@pytest.mark.parametrize("label", [0, 1])
def test_identity_until_enough_of_either_label_is_known(label: int) -> None:
    calibration = Calibration(refit_every=10, label_min=30)
    for number in range(29 + 500):
        calibration.learn(0.9, label if number >= 29 else 1 - label)
    assert calibration.is_identity
    assert calibration.apply(0.123456789) == 0.123456789
    for _ in range(11):
        calibration.learn(0.9, 1 - label)
    assert not calibration.is_identity


@pytest.mark.parametrize("labels", [(0, 0, 0, 1, 1, 1), (1, 1, 1, 0, 0, 0)])
def test_labels_that_scores_separate_give_finite_numbers(labels: tuple[int, ...]) -> None:
    calibration = Calibration(refit_every=60, label_min=1)
    for place in range(600):
        calibration.learn((place % 6) / 5.0, labels[place % 6])
    assert 0.0 < calibration.slope < 20.0
    assert math.isfinite(calibration.offset)


def test_the_fit_is_where_the_loss_is_least() -> None:
    rows = [(-4.0, 500.0, 30.0), (-1.0, 300.0, 60.0), (0.5, 200.0, 120.0), (9.0, 20.0, 15.0)]
    offset, slope = fit(rows, 0.0, 1.0)
    least = loss(rows, offset, slope)
    for by in (1e-3, -1e-3):
        assert loss(rows, offset + by, slope) > least
        assert loss(rows, offset, slope + by) > least
    assert fit(rows, 30.0, 5.0) == pytest.approx((offset, slope), rel=1e-3)  # from afar


def test_weights_count_as_repetition() -> None:
    taken = outcomes(400, WRONG["overconfident"])
    weighted, repeated = Calibration(refit_every=400), Calibration(refit_every=1200)
    for score, label in taken:
        weighted.learn(score, label, 3.0)
        for _ in range(3):
            repeated.learn(score, label)
    assert (weighted.offset, weighted.slope) == pytest.approx((repeated.offset, repeated.slope), rel=1e-9)


def test_weight_0_says_nothing() -> None:
    one, other = Calibration(refit_every=200), Calibration(refit_every=400)
    for score, label in outcomes(200, WRONG["both"]):
        one.learn(score, label)
        other.learn(score, label)
        other.learn(score, 1 - label, 0.0)
    assert (one.offset, one.slope) == (other.offset, other.slope)


# ---------------------------------------------------------------- reliability


def test_reliability_says_before_and_after() -> None:
    calibration = Calibration(outcomes=5000)
    taken = outcomes(12_000, WRONG["overconfident"])
    found = run(calibration, taken)
    before, after = calibration.reliability()
    assert before.error == pytest.approx(calibration_error(taken[-5000:]), abs=0.003)
    assert after.error == pytest.approx(calibration_error(found[-5000:]), abs=0.003)
    assert after.error < 0.25 * before.error
    assert sum(each.outcomes for each in before.bins) == 5000
    assert len(before.bins) == 15
    assert max(each.outcomes for each in before.bins) < 340
    rates = [each.rate for each in after.bins]
    assert all(abs(each.mean_score - each.rate) < 0.07 for each in after.bins)
    assert sum(one <= other for one, other in pairwise(rates)) > 10
    assert len(calibration.reliability(bins=5)[0].bins) == 5


def test_reliability_of_nothing() -> None:
    for each in Calibration().reliability():
        assert (each.bins, each.error) == ((), 0.0)


def test_equal_scores_stay_together() -> None:
    calibration = Calibration()
    for place in range(300):
        calibration.learn(0.2 if place % 3 else 0.7, int(place % 3 == 0 and place % 2 == 0))
    before, _ = calibration.reliability()
    assert [each.outcomes for each in before.bins] == [200.0, 100.0]
    assert [each.rate for each in before.bins] == [0.0, 0.5]
    assert [each.mean_score for each in before.bins] == pytest.approx([0.2, 0.7])
    assert before.error == pytest.approx((200 * 0.2 + 100 * 0.2) / 300, rel=1e-6)


def test_reading_reliability_changes_nothing() -> None:
    calibration = Calibration()
    run(calibration, outcomes(700, WRONG["both"]))
    saved = calibration.save()
    calibration.reliability()
    assert calibration.save() == saved
    run(calibration, outcomes(10, WRONG["both"]))  # and lets it go on


def test_reliability_agrees_with_counting_by_hand() -> None:
    import numpy as np

    odds = np.array([-2.0, -1.0, 0.0, 1.0])
    found = reliability_of(odds, np.array([0, 1, 0, 1], np.int8), np.array([1.0, 1.0, 1.0, 1.0]), 2)
    low, high = sum(map(sigmoid, odds[:2])) / 2, sum(map(sigmoid, odds[2:])) / 2
    assert [each.mean_score for each in found.bins] == pytest.approx([low, high])
    assert [each.rate for each in found.bins] == [0.5, 0.5]
    assert found.error == pytest.approx((abs(low - 0.5) + abs(high - 0.5)) / 2)


# ---------------------------------------------------------------- state and limits


def test_fewer_outcomes_keep_the_newest() -> None:
    taken = outcomes(700, WRONG["shifted up"])
    calibration, fewer, fresh = Calibration(outcomes=500), Calibration(outcomes=50), Calibration(outcomes=50)
    run(calibration, taken)
    fewer.load(calibration.save())
    run(fresh, taken)
    assert list(fewer._raw) == sorted(fresh._raw, key=list(taken_odds(taken[-50:])).index)
    assert len(fewer._labels) == 50


def taken_odds(taken: Sequence[Pair]) -> list[float]:
    """As they are kept: in single precision."""
    from array import array

    return list(array("f", [math.log(score / (1.0 - score)) for score, _ in taken]))


def test_memory_is_bounded() -> None:
    calibration = Calibration(outcomes=300)
    sizes = []
    for seed in range(3):
        run(calibration, outcomes(400, WRONG["both"], seed=seed))
        sizes.append(calibration.size_bytes())
        assert len(calibration.save()) < 300 * 13 + 100
    assert sizes[0] == sizes[1] == sizes[2]


@pytest.mark.parametrize(
    ("score", "label", "weight"),
    [(math.nan, 0, 1.0), (-0.1, 0, 1.0), (1.1, 0, 1.0), (0.5, 2, 1.0), (0.5, 0, -1.0), (0.5, 0, math.inf)],
)
def test_what_cannot_be_learned_changes_nothing(score: float, label: int, weight: float) -> None:
    calibration = Calibration()
    run(calibration, outcomes(50, WRONG["both"]))
    saved = calibration.save()
    with pytest.raises(ValueError, match="must be"):
        calibration.learn(score, label, weight)
    assert calibration.save() == saved


def test_damaged_state_is_refused() -> None:
    calibration = Calibration(refit_every=100)
    run(calibration, outcomes(300, WRONG["both"]))
    saved = calibration.save()
    for damaged in (
        b"",
        b"nothing",
        saved[:-1],
        saved[: len(saved) // 2],
        saved + b"\0",
        b"\x96" + saved[1:],
    ):
        with pytest.raises(ValueError):
            calibration.load(damaged)
    assert calibration.save() == saved


@pytest.mark.property
@settings(max_examples=60)
@given(
    stream=st.lists(
        st.tuples(
            st.one_of(st.floats(0.0, 1.0), st.sampled_from([0.0, 1.0, 0.5])),
            st.integers(0, 1),
            st.sampled_from([0.0, 0.3, 1.0, 1e6]),
        ),
        max_size=80,
    ),
    cut=st.integers(0, 80),
    scores=st.lists(st.floats(0.0, 1.0), min_size=2, max_size=10),
)
def test_whatever_comes_scores_rise_and_it_is_saved(stream, cut, scores) -> None:
    limits = {"outcomes": 40, "refit_every": 7, "label_min": 1}
    one, other = Calibration(**limits), Calibration(**limits)
    for number, (score, label, weight) in enumerate(stream):
        one.learn(score, label, weight)
        other.learn(score, label, weight)
        if number == cut:
            other = Calibration(**limits)
            other.load(one.save())
        found = [one.apply(score) for score in sorted(scores)]
        assert all(0.0 <= score <= 1.0 for score in found)
        assert found == sorted(found)
    assert one.save() == other.save()
    for each in one.reliability():
        assert 0.0 <= each.error <= 1.0
