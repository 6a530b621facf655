"""Metrics of scores and of how right they were."""

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
    Metric(
        "headrace_prequential_outcomes",
        "gauge",
        "Outcomes in the window that quality is evaluated on.",
        (),
        "now",
        scrape.of_quality(lambda seen: seen.payments),
    ),
    Metric(
        "headrace_prequential_frauds",
        "gauge",
        "Frauds among them.",
        (),
        "now",
        scrape.of_quality(lambda seen: seen.frauds),
    ),
    Metric(
        "headrace_prequential_auc",
        "gauge",
        "Area under the ROC curve over the window; absent until it holds both labels.",
        (),
        "now",
        scrape.of_quality(lambda seen: seen.auc),
    ),
    Metric(
        "headrace_prequential_average_precision",
        "gauge",
        "Average precision over the window; absent as the AUC is.",
        (),
        "now",
        scrape.of_quality(lambda seen: seen.average_precision),
    ),
    Metric(
        "headrace_prequential_log_loss",
        "gauge",
        "Log loss over the window, nats.",
        (),
        "now",
        scrape.of_quality(lambda seen: seen.log_loss),
    ),
    Metric(
        "headrace_prequential_calibration_error",
        "gauge",
        "Expected calibration error over the window, in ten equal ranges of the score.",
        (),
        "now",
        scrape.of_quality(lambda seen: seen.calibration_error),
    ),
    Metric(
        "headrace_prequential_mean_score",
        "gauge",
        "Mean score over the window; right on the whole when it equals the base rate.",
        (),
        "now",
        scrape.of_quality(lambda seen: seen.mean_score),
    ),
    Metric(
        "headrace_prequential_base_rate",
        "gauge",
        "Share of frauds in the window.",
        (),
        "now",
        scrape.of_quality(lambda seen: seen.base_rate),
    ),
)
