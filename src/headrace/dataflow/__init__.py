"""The steps of a flow as Bytewax knows them; nothing else meets Bytewax but flows and the runtime."""

__all__ = [
    "by_shard",
    "engine",
    "failure",
    "file_source",
    "ordered_sink",
    "shard",
    "shard_parts",
    "telemetry",
    "topic_reader",
    "topic_steps",
]
