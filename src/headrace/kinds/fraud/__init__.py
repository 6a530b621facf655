"""Payments, each with a probability of fraud and an action."""

__all__ = ["kind", "truth"]
