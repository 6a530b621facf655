"""Clicks, each with a slate of items."""

__all__ = ["kind"]
