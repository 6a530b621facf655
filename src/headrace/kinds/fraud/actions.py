"""What decisions on payments say is to be done."""

from __future__ import annotations

from typing import Final

from headrace.shard.kinds import Action

__all__ = ["ACTIONS", "SHOWN"]

SHOWN: Final = (Action("approve", "good"), Action("review", "caution"), Action("block", "bad"))
"""The actions, and how they are shown."""

ACTIONS: Final = tuple(action.name for action in SHOWN)
"""Their names."""
