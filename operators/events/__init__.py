"""The contract of events: decoding, times, limits and schemas."""

__all__ = [
    "contract",
    "declared",
    "decode",
    "event_times",
    "oversized",
    "schemas",
    "time_zones",
    "timestamps",
    "unreadable",
]
