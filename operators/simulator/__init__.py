"""A seeded world that writes the event contract, with its truth apart."""

from headrace.operators.simulator.world import World, presets, simulate
from headrace.operators.simulator.writer import event_blocks, truth_blocks, write

__all__ = ["World", "event_blocks", "presets", "simulate", "truth_blocks", "write"]
