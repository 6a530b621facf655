"""The kinds of flow that there are, with the settings of each and the file that is shipped."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from .fraud_flow import FraudSettings
from .recommend_flow import RecommendSettings
from .tables import RunSettings

__all__ = ["BASES", "FLOWS", "SETTINGS", "SHIPPED", "shipped"]

SHIPPED: Final = Path(__file__).parent / "fraud.toml"
FLOWS: Final = ("fraud", "recommend")
# What is shipped, and of which flow it is.
BASES: Final = {"fraud": "fraud", "fraud-sessions": "fraud", "recommend": "recommend"}
SETTINGS: Final[dict[str, type[RunSettings]]] = {"fraud": FraudSettings, "recommend": RecommendSettings}


def shipped(flow: str) -> Path:
    """Return the configuration of a flow that comes with the program."""
    return SHIPPED.with_name(f"{flow}.toml")
