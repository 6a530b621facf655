"""States as they are looked at and copied."""

__all__ = ["backup", "inspection"]
