"""The steps of a flow as Bytewax knows them; nothing else meets Bytewax but flows and the runtime."""

__all__ = ["engine", "steps", "telemetry", "topic_reader", "topic_steps"]
