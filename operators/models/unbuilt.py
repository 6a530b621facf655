"""A model that is neither built nor loaded, for looking at what else a state holds."""

from __future__ import annotations

from typing import cast

from .contract import Model
from .estimators import ESTIMATORS
from .registry import MODELS

__all__ = ["unbuilt_model"]


class _Unbuilt:
    def __init__(self, name: str) -> None:
        build = MODELS.get(name) or ESTIMATORS[name]
        self.takes, self.cheap_explain = build.takes, build.cheap_explain

    def load(self, saved: bytes) -> None:
        """Leave a saved model unread."""


def unbuilt_model(name: str) -> Model:
    """Stand where a registered model or estimator would: it can be loaded, which does nothing, and not used.

    Parameters
    ----------
    name
        What the configuration calls it.
    """
    return cast("Model", _Unbuilt(name))
