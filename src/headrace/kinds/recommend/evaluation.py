"""How good slates are: what next clicks say of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from headrace.config.recommend_flow import RecommendSettings
from headrace.operators.recommend.slates import Evaluated, SlateQuality, SlateWindow, quality_of_slates

__all__ = ["SlatesRun", "slates_together"]


class SlatesRun:
    """The last slates of a run that a next click has evaluated."""

    def __init__(self, settings: RecommendSettings) -> None:
        self._slates = SlateWindow(settings.metrics.window_outcomes_max)

    def extend(self, evaluated: Sequence[Evaluated]) -> None:
        """Take in evaluated slates."""
        self._slates.extend(evaluated)

    def told(self) -> dict[str, Any] | None:
        """Return the fields of `SlateQuality`."""
        quality = self._slates.quality()
        return None if quality is None else quality._asdict()

    def counted(self) -> dict[str, Any] | None:
        """Return the same: it says of how many slates it is."""
        return self.told()


def slates_together(parts: Sequence[Any]) -> dict[str, Any] | None:
    """Return the quality over what several processes have told."""
    # Means are weighted by how many slates each process has evaluated, so that nothing else has to be told.
    quality = quality_of_slates([SlateQuality(**part) for part in parts])
    return None if quality is None else quality._asdict()
