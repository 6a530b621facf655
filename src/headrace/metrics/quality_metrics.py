"""Metrics of scores, and of what was learned."""

from __future__ import annotations

from typing import Final

from headrace.metrics import scrape
from headrace.metrics.metric import Metric
from headrace.metrics.recorder import Recorder

__all__ = ["QUALITY"]

QUALITY: Final = (
    Metric(
        "headrace_decision_score",
        "histogram",
        "Scores of the decisions that went out.",
        (),
        "process",
        scrape.of_recorder(Recorder.scores),
    ),
    Metric(
        "headrace_model_updates_total",
        "counter",
        "Outcomes that the model learned from.",
        (),
        "process",
        scrape.of_recorder(lambda recorder: recorder.updates),
    ),
)
