"""Headrace decides on commerce events as they arrive, and learns from their outcomes."""

__version__ = "0.2.0"
