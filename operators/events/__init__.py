"""The contract of events: decoding, times, limits and schemas."""

__all__ = [
    "compatibility",
    "contract",
    "declared",
    "declared_schemas",
    "decode",
    "event_times",
    "oversized",
    "schemas",
    "time_zones",
    "timestamps",
    "unreadable",
]
