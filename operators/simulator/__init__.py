"""A seeded world that writes the event contract, with its truth apart."""

from headrace.operators.simulator.network.truths import TRUTH_FILES
from headrace.operators.simulator.network.world import Network
from headrace.operators.simulator.world import CUSTOMERS_MIN, World, presets, simulate
from headrace.operators.simulator.writer import (
    count_events,
    event_blocks,
    truth_blocks,
    write,
    write_truths,
)

__all__ = [
    "CUSTOMERS_MIN",
    "TRUTH_FILES",
    "Network",
    "World",
    "count_events",
    "event_blocks",
    "presets",
    "simulate",
    "truth_blocks",
    "write",
    "write_truths",
]
