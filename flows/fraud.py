"""The fraud flow: events in, a decision for each payment out, dead letters aside."""

from __future__ import annotations

from bytewax.dataflow import Dataflow

from ..config.fraud_flow import FraudSettings
from .wiring import Edges, wire

__all__ = ["Edges", "build"]


def build(settings: FraudSettings, edges: Edges) -> Dataflow:
    """Wire the flow; it runs nothing."""
    return wire("fraud", settings, edges)
