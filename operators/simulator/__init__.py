"""A seeded world that writes the event contract, with its truth apart."""

from .network.ceilings import Ceilings, ceilings
from .network.truths import TRUTH_FILES
from .network.world import Network
from .world import CUSTOMERS_MIN, World, presets, simulate
from .writer import count_events, event_blocks, truth_blocks, write, write_truths

__all__ = [
    "CUSTOMERS_MIN",
    "TRUTH_FILES",
    "Ceilings",
    "Network",
    "World",
    "ceilings",
    "count_events",
    "event_blocks",
    "presets",
    "simulate",
    "truth_blocks",
    "write",
    "write_truths",
]
