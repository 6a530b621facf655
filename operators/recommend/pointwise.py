"""A classifier in the ranker's place: scores each candidate by itself, and learns which one was clicked."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ...config.recommend import RankerSettings
from ..models import Model, ModelShape, Teacher, build_model
from . import kernels
from .kernels import FEATURE_NAMES

__all__ = ["Pointwise"]

_BINS: Final = 10
_GROUP: Final = _BINS + 1  # and one for 0
_SHAPE: Final = ModelShape(
    FEATURE_NAMES,
    tuple(range(0, _GROUP * len(FEATURE_NAMES), _GROUP)),
    _GROUP * len(FEATURE_NAMES),
    FEATURE_NAMES,
)


class Pointwise:
    """Any of the registered models, over the ranker's features.

    A model that takes slots gets each feature in eleven bins, one of them for 0; one that takes values gets
    them as they are.

    Parameters
    ----------
    settings
        Which model, and how many candidates it learns from besides the one that was clicked.
    """

    def __init__(self, settings: RankerSettings) -> None:
        self.negatives_max = settings.negatives_max
        self.model: Model = build_model(settings.name, settings.parameters, _SHAPE)
        self._teacher = Teacher(self.model, one_by_one=False)
        self._bins = self.model.takes == "slots"
        self._offsets = np.array(_SHAPE.group_offsets)

    def shares(self, steps: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Of each candidate (a row of features, in steps of 1/250) its score as a share of all, 0 to 1."""
        score = self.model.score
        scores = np.array([score(row) for row in self._rows(steps)], np.float64)
        total = scores.sum()
        # A model that knows nothing yet may score all 0; then all are alike.
        return scores / total if total > 0.0 else np.full(len(scores), 1.0 / max(len(scores), 1))

    def learn(self, steps: NDArray[np.uint8], chosen: int, others: Iterable[int]) -> None:
        """Learn that a candidate was clicked, and that others weren't.

        Raises
        ------
        NotLearned
            If the model raises anything; then it is as it was.
        """
        places = [chosen, *(place for place in others if place != chosen)]
        rows = self._rows(steps[places])
        self._teacher.teach([(row, int(place == chosen)) for place, row in zip(places, rows, strict=True)])

    def load(self, saved: bytes) -> None:
        """Take over a model's saved state."""
        self.model.load(saved)
        self._teacher.forget()

    def _rows(self, steps: NDArray[np.uint8]) -> list[list[Any]]:
        if not self._bins:
            values: list[list[Any]] = (steps / kernels.STEPS_OF_ONE).tolist()
            return values
        # Zero has a bin of its own: that a source says nothing is another thing than that it says little.
        bins = np.where(steps == 0, 0, 1 + steps.astype(np.int64) * _BINS // (kernels.STEPS_OF_ONE + 1))
        slots: list[list[Any]] = (bins + self._offsets).tolist()
        return slots
