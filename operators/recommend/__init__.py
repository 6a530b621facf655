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
    "ranked",
    "rules",
    "similarity",
    "visitors",
]
