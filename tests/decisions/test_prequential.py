"""The quality estimate against scikit-learn's, and its window."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, log_loss, roc_auc_score

from headrace.operators.decisions.prequential import OutcomeWindow, Prequential


def scored(seed: int, rows: int, fraud_share: float, lift: float) -> tuple[np.ndarray, np.ndarray]:
    """Scores as a model of rare frauds gives them, most of them near 0, and labels."""
    rng = np.random.default_rng(seed)
    labels = (rng.random(rows) < fraud_share).astype(int)
    scores = 1 / (1 + np.exp(-rng.normal(-5.0 + lift * labels, 1.5)))
    return scores, labels


def evaluated(scores, labels, window=10_000_000):
    prequential = Prequential(window)
    for score, label in zip(scores.tolist(), labels.tolist(), strict=True):
        prequential.add(score, label)
    return prequential.quality()


@pytest.mark.parametrize(("fraud_share", "lift"), [(0.01, 3.0), (0.01, 0.0), (0.5, 1.0), (0.002, 8.0)])
def test_it_is_what_scikit_learn_says(fraud_share, lift):
    scores, labels = scored(1, 20_000, fraud_share, lift)
    quality = evaluated(scores, labels)
    assert quality.auc == pytest.approx(roc_auc_score(labels, scores), abs=0.0005)
    assert quality.average_precision == pytest.approx(average_precision_score(labels, scores), abs=0.005)
    assert (quality.frauds, quality.payments) == (labels.sum(), 20_000)


def test_equal_scores_are_told_as_scikit_learn_tells_them():
    rng = np.random.default_rng(2)
    scores, labels = rng.choice([0.1, 0.2, 0.7], 2000), rng.integers(0, 2, 2000)
    quality = evaluated(scores, labels)
    assert quality.auc == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
    assert quality.average_precision == pytest.approx(average_precision_score(labels, scores), abs=1e-12)


def test_only_the_window_counts():
    worthless, sharp = scored(3, 5000, 0.1, 0.0), scored(4, 5000, 0.1, 6.0)
    scores, labels = (np.concatenate(pair) for pair in zip(worthless, sharp, strict=True))
    quality = evaluated(scores, labels, window=5000)
    assert 2500 <= quality.payments <= 5000
    last = slice(-quality.payments, None)
    assert quality.auc == pytest.approx(roc_auc_score(labels[last], scores[last]), abs=0.001)


def test_no_quality_without_both_labels():
    prequential = Prequential()
    assert prequential.quality() is None
    prequential.add(0.5, 0)
    assert prequential.quality() is None
    prequential.add(0.6, 1)
    assert prequential.quality() == (1.0, 1.0, 1, 2)


def test_scores_at_the_ends():
    quality = evaluated(np.array([0.0, 1.0, 0.0, 1.0]), np.array([0, 1, 0, 1]))
    assert (quality.auc, quality.average_precision) == (1.0, 1.0)


# -- the window of outcomes


def windowed(scores, labels, outcomes_max, cut):
    window = OutcomeWindow(outcomes_max)
    pairs = list(zip(scores.tolist(), labels.tolist(), strict=True))
    for at in range(0, len(pairs), cut):
        window.extend(pairs[at : at + cut])
    return window


@pytest.mark.parametrize(("fraud_share", "lift"), [(0.01, 3.0), (0.01, 0.0), (0.5, 1.0)])
@pytest.mark.parametrize("ties", [False, True])
def test_a_window_is_evaluated_as_scikit_learn_evaluates_it(fraud_share, lift, ties):
    scores, labels = scored(5, 20_000, fraud_share, lift)
    scores = scores.round(2) if ties else scores
    quality = windowed(scores, labels, 8000, 512).quality()
    scores, labels = scores[-8000:], labels[-8000:]
    assert quality.auc == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
    assert quality.average_precision == pytest.approx(average_precision_score(labels, scores), abs=1e-12)
    clipped = scores.clip(1e-12, 1 - 1e-12)
    assert quality.log_loss == pytest.approx(log_loss(labels, clipped), rel=1e-9)
    assert (quality.frauds, quality.payments) == (labels.sum(), 8000)
    assert (quality.mean_score, quality.base_rate) == pytest.approx((scores.mean(), labels.mean()))


def test_calibration_error_is_the_weighted_distance_of_ten_ranges():
    scores, labels = scored(6, 5000, 0.3, 2.0)
    scores[:2] = 0.0, 1.0
    expected = 0.0
    for number in range(10):
        last = number == 9
        inside = (scores >= number / 10) & ((scores < (number + 1) / 10) | last)
        if inside.any():
            expected += inside.mean() * abs(scores[inside].mean() - labels[inside].mean())
    assert expected > 0.01
    quality = windowed(scores, labels, 5000, 5000).quality()
    assert quality.calibration_error == pytest.approx(expected, rel=1e-9)


@given(
    outcomes_max=st.integers(1, 12),
    cuts=st.lists(
        st.lists(st.tuples(st.sampled_from([0.0, 0.25, 0.5, 1.0]), st.integers(0, 1)), max_size=30)
    ),
)
def test_the_window_holds_the_last_outcomes_however_they_come(outcomes_max, cuts):
    window = OutcomeWindow(outcomes_max)
    for cut in cuts:
        window.extend(cut)
    last = [pair for cut in cuts for pair in cut][-outcomes_max:]
    quality = window.quality()
    if not last:
        assert quality is None
        return
    assert quality.payments == len(last)
    assert quality.frauds == sum(label for _, label in last)
    assert quality.mean_score == pytest.approx(sum(score for score, _ in last) / len(last))
    assert (quality.auc is None) == (quality.frauds in (0, len(last)))


def test_a_copy_of_a_window_stays_as_it_was():
    window = OutcomeWindow(4)
    window.extend([(0.5, 1)])
    copy = window.copy()
    window.extend([(0.25, 0)] * 4)
    assert (copy.quality().payments, copy.quality().frauds) == (1, 1)
    assert (window.quality().payments, window.quality().frauds) == (4, 0)
