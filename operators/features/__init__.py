"""Features of an event from its entities' past: declared in TOML, compiled once, O(1) for each event."""

from .asking import features_over
from .compile import FeatureSet, SlotGroup
from .event_compiled import take_compiled
from .event_features import EventFeatures
from .meaning import meaning_differences, meaning_of

__all__ = [
    "EventFeatures",
    "FeatureSet",
    "SlotGroup",
    "features_over",
    "meaning_differences",
    "meaning_of",
    "take_compiled",
    "windows",
]
