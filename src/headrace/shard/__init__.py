"""Durable shards: deduplication, event time, pending state, write-ahead log and recovery."""

__all__ = [
    "acknowledged",
    "apply_record",
    "attempts",
    "base",
    "belonging",
    "clock",
    "commands",
    "decision_line",
    "deduplication",
    "durable",
    "kinds",
    "machine",
    "mismatch",
    "outgoing",
    "positions",
    "recovery_point",
    "routing",
    "telemetry",
    "topic_shard",
    "waiting",
]
