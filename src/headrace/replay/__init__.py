"""Decides the past again."""

__all__ = [
    "charts",
    "examples",
    "intervals",
    "options",
    "page",
    "past",
    "verify",
    "view",
    "walk",
    "words",
]
