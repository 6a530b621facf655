"""What a run tells about its own pace, to whoever measures it."""

from __future__ import annotations

from typing import Final, Literal, Protocol

__all__ = ["SILENT", "Phase", "Stage", "Telemetry"]

Phase = Literal["recovering", "running", "draining"]
"""Taking up the state, deciding, or ending: nothing more is read, what was read is decided."""

Stage = Literal["read", "decode", "apply", "journal", "write"]
"""A batch's way: lines from their source, to events, through a shard, into its journal, out to the sinks."""


class Telemetry(Protocol):
    """Is told of phases and of batches; none of its methods may raise or take long.

    With several shards `apply` and `journal` come once for each of them, `write` once for each of the two
    sinks. Methods may be called from several threads.
    """

    def phase(self, name: Phase) -> None:
        """The run enters a phase."""

    def batch(self, stage: Stage, ns: int, events: int) -> None:
        """A batch has passed a stage.

        Parameters
        ----------
        stage
            Which one.
        ns
            Nanoseconds that it took.
        events
            Lines that went in; for `write`, that were written.
        """

    def latency(self, accepted_ns: int, count: int, now_ns: int) -> None:
        """Decisions of one batch were written.

        Parameters
        ----------
        accepted_ns
            When their batch was read, nanoseconds of `time.perf_counter_ns`.
        count
            How many, at least one.
        now_ns
            The present moment on the same clock.
        """


class _Silent:
    """Telemetry that nobody listens to."""

    def phase(self, name: Phase) -> None:
        """Say nothing."""

    def batch(self, stage: Stage, ns: int, events: int) -> None:
        """Say nothing."""

    def latency(self, accepted_ns: int, count: int, now_ns: int) -> None:
        """Say nothing."""


SILENT: Final[Telemetry] = _Silent()
