"""What passes between the steps of a flow: each shard's part of a batch, and what it gives out for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from headrace.journal.batches import Batch

__all__ = ["ShardInput", "ShardLogic", "ShardOutput"]


@dataclass(slots=True)  # not frozen: setting fields of a frozen one costs three times as much
class ShardInput:
    """A shard's part of a batch; there is one for every shard, also when no line is for it.

    Attributes
    ----------
    shard
        Number of the shard.
    batch, events
        The whole batch, and what each of its lines decodes to; a line that is no event has the reason in its
        place, as it is journalled in order too.
    indices
        Which of its lines are for this shard, ascending; None for all.
    """

    shard: int
    batch: Batch
    events: list[Any]
    indices: list[int] | None


@dataclass(slots=True)
class ShardOutput:
    """What a shard gives out for its part of a batch.

    Attributes
    ----------
    shard
        Number of the shard.
    ordinal, ordinal_next
        Of the batch's first line, and of the first line after it.
    decisions, dead_letters
        For files, lines with their newline, each with the ordinal of the input that it answers, ascending.
        For topics, messages (`Outgoing`).
    accepted_ns
        When the batch was read, as in `Batch`.
    since_ms
        Since when some of what was decided waited, milliseconds since the epoch; empty if that isn't known.
    """

    shard: int
    ordinal: int
    ordinal_next: int
    decisions: list[Any]
    dead_letters: list[Any]
    accepted_ns: int
    since_ms: Sequence[int] = ()


class ShardLogic(Protocol):
    """What decides; it keeps and recovers its state itself."""

    def process(self, part: ShardInput) -> ShardOutput:
        """Apply a shard's part of a batch."""
        ...
