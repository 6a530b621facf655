"""Features of an event from its entities' past: declared in TOML, compiled once, O(1) for each event."""

from .compile import FeatureSet, SlotGroup

__all__ = ["FeatureSet", "SlotGroup", "windows"]
