"""What makes slates of items for sessions, and learns from their clicks."""

__all__ = [
    "catalogue",
    "coverage",
    "detail",
    "engine",
    "explained",
    "kernels",
    "pointwise",
    "prepared",
    "ranked",
    "rules",
    "similarity",
    "slates",
    "visitors",
]
