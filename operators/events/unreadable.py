"""What stands in the place of a message that has no value, or whose bytes nobody can read."""

from __future__ import annotations

from typing import Final

__all__ = ["TOMBSTONE", "Tombstone", "Unreadable"]


class Tombstone(bytes):
    """The value of a message without one, as compacted topics have them: empty."""


TOMBSTONE: Final = Tombstone()


class Unreadable(bytes):
    """In the place of a batch of messages that can't be unpacked: text that says which ones, and why."""
