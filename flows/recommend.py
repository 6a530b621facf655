"""The recommend flow: clicks in, a slate of items for each of them out, dead letters aside."""

from __future__ import annotations

from bytewax.dataflow import Dataflow

from ..config.recommend_flow import RecommendSettings
from .wiring import Edges, wire

__all__ = ["Edges", "build"]


def build(settings: RecommendSettings, edges: Edges) -> Dataflow:
    """Wire the flow; it runs nothing."""
    return wire("recommend", settings, edges)
