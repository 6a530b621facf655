"""Reads decisions back from the journals, with their reasons and their outcomes."""

__all__ = [
    "bin_ranges",
    "explained",
    "export",
    "export_columns",
    "index",
    "keys",
    "ledger",
    "sections",
    "tables",
    "verify",
]
