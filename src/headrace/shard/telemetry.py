"""What a shard tells about its own pace, to whoever measures it."""

from __future__ import annotations

from typing import Literal, Protocol

from headrace.journal.checkpoint import Finished

__all__ = ["ShardTelemetry", "Silent", "Stage"]

Stage = Literal["read", "decode", "apply", "journal", "write"]
"""A batch's way: lines from their source, to events, through a shard, into its journal, into the outputs."""


class ShardTelemetry(Protocol):
    """Listens to a shard. With several shards `apply` and `journal` come once for each of them.

    Methods may be called from several threads.
    """

    def recovering(self, shard: int, applied: int, expected: int) -> None:
        """Note that a shard has so far applied so many inputs again, of so many."""

    def checkpointed(self, finished: Finished) -> None:
        """Note that a checkpoint has ended, well or not."""

    def batch(self, stage: Stage, ns: int, events: int) -> None:
        """Note that a batch has passed a stage.

        Parameters
        ----------
        stage
            Which one.
        ns
            Nanoseconds that it took.
        events
            Lines that went in; for `write`, that were written.
        """


class Silent:
    """Telemetry of a shard that nobody listens to."""

    def recovering(self, shard: int, applied: int, expected: int) -> None:
        """Say nothing."""

    def checkpointed(self, finished: Finished) -> None:
        """Say nothing."""

    def batch(self, stage: Stage, ns: int, events: int) -> None:
        """Say nothing."""
