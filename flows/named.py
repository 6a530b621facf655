"""Wires the flow of a configuration, of whichever kind."""

from __future__ import annotations

from bytewax.dataflow import Dataflow

from ..config.tables import RunSettings
from . import kinds as _kinds  # noqa: F401  # makes them known
from .wiring import Edges, wire

__all__ = ["Edges", "build"]


def build(settings: RunSettings, edges: Edges) -> Dataflow:
    """Wire the flow of a configuration; it runs nothing."""
    return wire(settings.flow.kind, settings, edges)
