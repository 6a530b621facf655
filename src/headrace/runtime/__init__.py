"""Runs flows: the processes of a run, their signals, their state, and what they report."""

__all__ = ["compiling", "file_run", "interrupts", "launcher", "members", "places", "runs", "stopped"]
