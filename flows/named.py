"""Which flow a configuration is of."""

from __future__ import annotations

from bytewax.dataflow import Dataflow

from ..config.fraud_flow import FraudSettings
from ..config.recommend_flow import RecommendSettings
from ..config.tables import RunSettings
from . import fraud, recommend
from . import kinds as _kinds  # noqa: F401  # makes them known
from .wiring import Edges

__all__ = ["Edges", "build"]


def build(settings: RunSettings, edges: Edges) -> Dataflow:
    """Wire the flow of a configuration; it runs nothing."""
    if isinstance(settings, RecommendSettings):
        return recommend.build(settings, edges)
    assert isinstance(settings, FraudSettings)
    return fraud.build(settings, edges)
