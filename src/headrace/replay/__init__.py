"""Decides the past again."""

__all__ = ["examples", "intervals", "options", "past", "verify", "walk"]
