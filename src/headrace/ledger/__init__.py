"""Reads decisions back from the journals, with their reasons and their outcomes."""

__all__ = ["explained", "export", "index", "keys", "ledger", "tables", "verify"]
