"""The command line: one module a command, and what is said on a terminal."""

__all__ = ["app"]
