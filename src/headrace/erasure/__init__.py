"""Finds what a state holds of a customer."""

__all__ = ["search"]
