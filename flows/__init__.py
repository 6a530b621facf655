"""Dataflows from sources to sinks; they only wire operators."""

__all__ = ["kinds", "named"]
