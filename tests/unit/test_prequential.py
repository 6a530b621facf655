"""The quality estimate against scikit-learn's, and its window."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from headrace.operators.prequential import Prequential


def scored(seed: int, rows: int, fraud_share: float, lift: float) -> tuple[np.ndarray, np.ndarray]:
    """Scores as a model of rare frauds gives them, most of them near 0, and labels."""
    rng = np.random.default_rng(seed)
    labels = (rng.random(rows) < fraud_share).astype(int)
    scores = 1 / (1 + np.exp(-rng.normal(-5.0 + lift * labels, 1.5)))
    return scores, labels


def judged(scores, labels, window=10_000_000):
    prequential = Prequential(window)
    for score, label in zip(scores.tolist(), labels.tolist(), strict=True):
        prequential.add(score, label)
    return prequential.quality()


@pytest.mark.parametrize(("fraud_share", "lift"), [(0.01, 3.0), (0.01, 0.0), (0.5, 1.0), (0.002, 8.0)])
def test_it_is_what_scikit_learn_says(fraud_share, lift):
    scores, labels = scored(1, 20_000, fraud_share, lift)
    quality = judged(scores, labels)
    assert quality.auc == pytest.approx(roc_auc_score(labels, scores), abs=0.0005)
    assert quality.average_precision == pytest.approx(average_precision_score(labels, scores), abs=0.005)
    assert (quality.frauds, quality.payments) == (labels.sum(), 20_000)


def test_equal_scores_are_told_as_scikit_learn_tells_them():
    rng = np.random.default_rng(2)
    scores, labels = rng.choice([0.1, 0.2, 0.7], 2000), rng.integers(0, 2, 2000)
    quality = judged(scores, labels)
    assert quality.auc == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
    assert quality.average_precision == pytest.approx(average_precision_score(labels, scores), abs=1e-12)


def test_only_the_window_counts():
    worthless, sharp = scored(3, 5000, 0.1, 0.0), scored(4, 5000, 0.1, 6.0)
    scores, labels = (np.concatenate(pair) for pair in zip(worthless, sharp, strict=True))
    quality = judged(scores, labels, window=5000)
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
    quality = judged(np.array([0.0, 1.0, 0.0, 1.0]), np.array([0, 1, 0, 1]))
    assert (quality.auc, quality.average_precision) == (1.0, 1.0)
