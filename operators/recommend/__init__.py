"""What makes lists of items for sessions, and learns from their clicks."""

__all__ = [
    "catalogue",
    "coverage",
    "detail",
    "engine",
    "explained",
    "exported",
    "kernels",
    "lists",
    "pointwise",
    "rules",
    "similarity",
    "visitors",
]
