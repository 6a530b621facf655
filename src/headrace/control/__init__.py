"""Commands to a flow, and the way back of dead letters."""

__all__ = ["dead_letters", "inbox", "reader"]
