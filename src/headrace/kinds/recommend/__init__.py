"""Clicks, each with a slate of items."""

__all__ = ["kind", "replay_lists", "replay_report"]
