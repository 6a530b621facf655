"""Payments, each with a probability of fraud and an action."""

__all__ = ["kind", "machine", "replay_changes", "replay_report", "replay_rows"]
