"""The kinds of flow that there are, with the settings of each and the files that are shipped."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from .base import did_you_mean
from .fraud_flow import FraudSettings
from .recommend_flow import RecommendSettings
from .tables import RunSettings

__all__ = ["BASES", "FLOWS", "SETTINGS", "SHIPPED", "SHIPPED_ENVIRONMENT", "no_such_flow", "shipped"]

# Beside this folder in a checkout, under its link in the package, and in a wheel.
SHIPPED: Final = Path(__file__).parents[1] / "flows" / "fraud.toml"
SHIPPED_ENVIRONMENT: Final = Path(__file__).with_name("default.toml")
FLOWS: Final = ("fraud", "recommend")
# The flows that are shipped, each with its kind.
BASES: Final = {"fraud": "fraud", "fraud-sessions": "fraud", "recommend": "recommend"}
SETTINGS: Final[dict[str, type[RunSettings]]] = {"fraud": FraudSettings, "recommend": RecommendSettings}


def no_such_flow(name: str) -> str:
    """Say that no shipped flow has a name, and which it may mean."""
    return f"there is no flow {name}{did_you_mean(name, list(BASES))}"


def shipped(flow: str) -> Path:
    """Return the file of a flow that comes with the program."""
    return SHIPPED.with_name(f"{flow}.toml")
