"""What is told of a decision whose model failed, and of one whose model reads nothing."""

from __future__ import annotations

import pytest

from headrace.kinds.decisions import explained
from headrace.kinds.decisions.explained import DecidedSo

NOTHING = DecidedSo(features={}, inputs=(), base=None, model_score=None, reasons=(), policy=None)


@pytest.mark.parametrize(
    ("decision", "title", "contributions"),
    [
        ({"limit": 5.0}, "the model failed, limit 5", "the model failed before it said anything"),
        ({}, "the model failed", "the model failed before it said anything"),
        ({"score": 0.25}, "score 0.2500", "the model reads nothing"),
        ({"score": 0.25, "limit": 0.0}, "score 0.2500, limit 0", "the model reads nothing"),
        ({"quantiles": {"0.5": 3.0}, "unit": "hours"}, "0.5: 3 hours", "the model reads nothing"),
    ],
)
def test_a_model_that_failed_is_told_from_one_that_reads_nothing(decision, title, contributions):
    assert explained._title(decision) == title
    assert explained._contributions(NOTHING, failed=explained._failed(decision)) == contributions
