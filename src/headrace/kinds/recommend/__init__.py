"""Clicks, each with a slate of items."""

__all__ = ["kind", "replay_report", "replay_slates"]
