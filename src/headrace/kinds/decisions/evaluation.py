"""How good declared decisions are, over a whole run and over the last of them, each by its own measures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from headrace.config.decision_flow import DecisionFlowSettings
from headrace.operators.decisions.estimate_window import EstimateQuality, EstimateWindow, estimate_quality
from headrace.operators.decisions.judged import Evaluated
from headrace.operators.decisions.prequential import Counted, OutcomeWindow, Prequential, quality_of

__all__ = ["DecisionWindow", "DecisionsRun", "EstimateSums", "decisions_together", "window_of"]

Told = dict[str, dict[str, Any]]
"""By decision, figures by name."""


class EstimateSums(msgspec.Struct):
    """What the quality of estimates is computed from, over a whole run.

    Attributes
    ----------
    count
        Estimates that were evaluated.
    pinball, inside, width, error
        Sums: of the pinball loss, of those within the interval, of its width, of the median's distance.
    nominal
        What share is meant to lie within the interval.
    """

    count: int = 0
    pinball: float = 0.0
    inside: float = 0.0
    width: float = 0.0
    error: float = 0.0
    nominal: float = 0.0

    def add(self, levels: Sequence[float], evaluated: Sequence[Evaluated]) -> None:
        """Take in estimates of the same levels."""
        served = np.array([each.served for each in evaluated], dtype=float)
        found = estimate_quality(levels, served, np.array([each.value for each in evaluated], dtype=float))
        if found is None:
            return
        # As sums, which can be added up over portions, shards and processes; means can't.
        count = found.estimates
        self.join(
            EstimateSums(
                count,
                found.pinball * count,
                found.coverage * count,
                found.width * count,
                found.absolute_error * count,
                found.nominal,
            )
        )

    def join(self, other: EstimateSums) -> None:
        """Take in what another has counted."""
        self.count += other.count
        self.pinball += other.pinball
        self.inside += other.inside
        self.width += other.width
        self.error += other.error
        self.nominal = other.nominal or self.nominal

    def told(self) -> dict[str, Any] | None:
        """Return figures by name; None without any estimate."""
        if not self.count:
            return None
        return _estimate_figures(
            EstimateQuality(
                estimates=self.count,
                pinball=self.pinball / self.count,
                coverage=self.inside / self.count,
                nominal=self.nominal,
                width=self.width / self.count,
                absolute_error=self.error / self.count,
            )
        )


def _estimate_figures(found: EstimateQuality) -> dict[str, Any]:
    """Return the figures of an estimate by the names that metrics and screens have for them."""
    return {
        "evaluated": found.estimates,
        "pinball": found.pinball,
        "coverage": found.coverage,
        "nominal_coverage": found.nominal,
        "width": found.width,
        "absolute_error": found.absolute_error,
    }


class _Counts(msgspec.Struct):
    """What a process has counted, as it goes to another one."""

    scores: dict[str, Counted]
    estimates: dict[str, EstimateSums]


class DecisionsRun:
    """How the decisions of a run turned out."""

    def __init__(self, settings: DecisionFlowSettings) -> None:
        del settings
        self._scores: dict[str, Prequential] = {}
        self._estimates: dict[str, EstimateSums] = {}

    def extend(self, evaluated: Sequence[Evaluated]) -> None:
        """Take in decisions of any kind."""
        for name, some in _by_name(evaluated).items():
            if some[0].levels:
                self._estimates.setdefault(name, EstimateSums()).add(some[0].levels, some)
            else:
                pairs = [(each.served[0], int(each.value)) for each in some]
                self._scores.setdefault(name, Prequential()).extend(pairs)

    def told(self) -> Told | None:
        """Return the quality so far, by decision."""
        counts = {name: scores.counted() for name, scores in self._scores.items()}
        return _told(counts, self._estimates)

    def counted(self) -> Any:
        """Return what it is computed from, as plain values."""
        counts = {name: scores.counted() for name, scores in self._scores.items()}
        return msgspec.to_builtins(_Counts(counts, self._estimates), str_keys=True)


def _by_name(evaluated: Iterable[Evaluated]) -> dict[str, list[Evaluated]]:
    found: dict[str, list[Evaluated]] = {}
    for each in evaluated:
        found.setdefault(each.name, []).append(each)
    return found


def _told(scores: Mapping[str, Counted], estimates: Mapping[str, EstimateSums]) -> Told | None:
    told: Told = {}
    for name, counted in scores.items():
        quality = quality_of([counted])
        if quality is not None:
            told[name] = {
                "evaluated": quality.payments,
                "positives": quality.frauds,
                "auc": quality.auc,
                "average_precision": quality.average_precision,
            }
    for name, sums in estimates.items():
        figures = sums.told()
        if figures is not None:
            told[name] = figures
    return told or None


def decisions_together(parts: Sequence[Any]) -> Told | None:
    """Return the quality over what several processes have counted, as `DecisionsRun.counted` gives it."""
    scores: dict[str, list[Counted]] = {}
    estimates: dict[str, EstimateSums] = {}
    for part in msgspec.convert(list(parts), list[_Counts], strict=False):
        for name, counted in part.scores.items():
            scores.setdefault(name, []).append(counted)
        for name, sums in part.estimates.items():
            estimates.setdefault(name, EstimateSums()).join(sums)
    return _told({name: _added(counted) for name, counted in scores.items()}, estimates)


def _added(counted: Sequence[Counted]) -> Counted:
    """Return the bins of several as those of one."""
    together: Counted = ({}, {})
    for each in counted:
        for label in (0, 1):
            for place, count in each[label].items():
                together[label][place] = together[label].get(place, 0) + count
    return together


class DecisionWindow:
    """The last decisions that were evaluated, by decision.

    Parameters
    ----------
    outcomes_max
        How many are kept of each.
    """

    def __init__(self, outcomes_max: int) -> None:
        self._outcomes_max = outcomes_max
        self._scores: dict[str, OutcomeWindow] = {}
        self._estimates: dict[str, EstimateWindow] = {}

    def extend(self, evaluated: Sequence[Evaluated]) -> None:
        """Take in decisions of any kind."""
        for name, some in _by_name(evaluated).items():
            levels = some[0].levels
            if levels:
                if name not in self._estimates:
                    self._estimates[name] = EstimateWindow(levels, self._outcomes_max)
                self._estimates[name].extend((each.served, each.value) for each in some)
            else:
                pairs = [(each.served[0], int(each.value)) for each in some]
                self._scores.setdefault(name, OutcomeWindow(self._outcomes_max)).extend(pairs)

    def copy(self) -> DecisionWindow:
        """Return the same window, to compute from in another thread while this one goes on."""
        twin = DecisionWindow(self._outcomes_max)
        twin._scores = {name: window.copy() for name, window in self._scores.items()}
        twin._estimates = {name: window.copy() for name, window in self._estimates.items()}
        return twin

    def quality(self) -> Told | None:
        """Return figures by decision and name; None while nothing was evaluated."""
        told: Told = {}
        for name, scores in self._scores.items():
            if (quality := scores.quality()) is not None:
                told[name] = {
                    "evaluated": quality.payments,
                    "positives": quality.frauds,
                    "auc": quality.auc,
                    "average_precision": quality.average_precision,
                    "log_loss": quality.log_loss,
                    "calibration_error": quality.calibration_error,
                    "mean_score": quality.mean_score,
                    "base_rate": quality.base_rate,
                }
        for name, estimates in self._estimates.items():
            if (found := estimates.quality()) is not None:
                told[name] = _estimate_figures(found)
        return told or None


def window_of(outcomes_max: int) -> DecisionWindow:
    """Return what remembers the last decisions that were evaluated."""
    return DecisionWindow(outcomes_max)
