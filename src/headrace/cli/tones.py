"""How actions are coloured on a terminal."""

from __future__ import annotations

from typing import Final

__all__ = ["STYLES"]

STYLES: Final = {"good": "green", "caution": "yellow", "bad": "red"}
"""By the tone of an action, what Rich calls its style."""
