"""Observers of runs, for tests."""

from __future__ import annotations

from headrace.runtime.runs import Progress, RunRequest, RunSummary


class Unwatched:
    """Looks at nothing that it is told."""

    def started(self, request: RunRequest) -> None:
        """Say nothing."""

    def progress(self, progress: Progress) -> None:
        """Say nothing."""

    def warning(self, message: str) -> None:
        """Say nothing."""

    def finished(self, summary: RunSummary) -> None:
        """Say nothing."""
