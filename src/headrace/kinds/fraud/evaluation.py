"""How good scores of payments are, over a whole run, and against the truth where it is given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from headrace.config.fraud_flow import FraudSettings
from headrace.kinds.fraud.truth import read_truth
from headrace.operators.decisions.prequential import Counted, OutcomeWindow, Prequential, Quality, quality_of

__all__ = ["Answers", "ScoredRun", "answers", "scores_together", "window_of_outcomes"]


class ScoredRun:
    """The scores of a run, and what they were for."""

    def __init__(self, settings: FraudSettings) -> None:
        del settings
        self._scores = Prequential()

    def extend(self, evaluated: Sequence[tuple[float, int]]) -> None:
        """Take in scores and their labels."""
        self._scores.extend(evaluated)

    def told(self) -> dict[str, Any] | None:
        """Return the fields of `Quality`."""
        return _told(self._scores.quality())

    def counted(self) -> Counted:
        """Return how many scores are in each bin, by label."""
        return self._scores.counted()


def _told(quality: Quality | None) -> dict[str, Any] | None:
    return None if quality is None else quality._asdict()


def scores_together(parts: Sequence[Any]) -> dict[str, Any] | None:
    """Return the quality over what several processes have counted, as `ScoredRun.counted` gives it."""
    # JSON has texts as keys only.
    return _told(quality_of(msgspec.convert(list(parts), list[Counted], strict=False)))


def window_of_outcomes(outcomes_max: int) -> OutcomeWindow:
    """Return what remembers the last outcomes."""
    return OutcomeWindow(outcomes_max)


class _Scored(msgspec.Struct, gc=False):
    event_id: str
    score: float


class Answers:
    """The labels of payments.

    Parameters
    ----------
    labels
        By the payment's id: 1 for a fraud, 0 for a legitimate one.
    """

    def __init__(self, labels: Mapping[str, int]) -> None:
        self._labels = labels
        self._decode = msgspec.json.Decoder(_Scored).decode

    def evaluated(self, lines: Sequence[bytes]) -> list[tuple[float, int]]:
        """Return the scores of decisions whose payments have a label, with it."""
        # Two fields of each line are decoded; reasons would cost as much again and aren't looked at.
        scored = map(self._decode, lines)
        labels = self._labels
        return [(each.score, labels[each.event_id]) for each in scored if each.event_id in labels]


def answers(path: Path, rows_max: int) -> Answers:
    """Read the labels of a file, as `read_truth` does."""
    return Answers(read_truth(path, rows_max))
