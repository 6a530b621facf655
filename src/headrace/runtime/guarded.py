"""What a flow's steps do for a run, as long as nothing has failed in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

from headrace.dataflow.failure import Failure
from headrace.dataflow.shard_parts import ShardInput, ShardOutput
from headrace.dataflow.topic_reader import TopicReader
from headrace.journal.batches import Batch
from headrace.kafka.delivery import Delivery
from headrace.shard.batch_applier import Applied
from headrace.shard.durable import DurableShard
from headrace.shard.outgoing import Outgoing
from headrace.shard.topic_shard import Taken, TopicShard

__all__ = ["GuardedReading", "GuardedSending", "GuardedShard", "Guarding"]

_T = TypeVar("_T")


class Guarding(Protocol):
    """A run that keeps the first error of its steps."""

    failure: Failure

    def tried(self, step: Callable[..., _T], *given: Any) -> _T | None:
        """Return what a step of the flow gives; None after an error, which fails the run."""
        ...

    def applied(self, shard: DurableShard, applied: Applied, lines: int, /) -> None:
        """Take note of what a shard has applied."""


class GuardedReading:
    """Reads for a run as long as nothing has failed in it."""

    def __init__(self, run: Guarding, reader: TopicReader) -> None:
        self._run, self._reader = run, reader

    def next_batch(self) -> Batch | None:
        """Return the next messages or commands; None when there are none now."""
        return self._run.tried(self._reader.next_batch)

    def close(self) -> None:
        """Read no more."""
        self._reader.close()


class GuardedSending:
    """Sends for a run as long as nothing has failed in it."""

    def __init__(self, run: Guarding, delivery: Delivery) -> None:
        self._run, self._delivery = run, delivery

    def send(self, output: str, messages: Sequence[Outgoing]) -> None:
        """Hand messages over; waits while too many are under way."""
        if self._run.failure.error is None:
            self._run.tried(self._delivery.send, output, messages)

    def reached(self, shard: int, ordinal_next: int) -> None:
        """Everything of a shard before an ordinal was handed over, for all outputs."""
        if self._run.failure.error is None:
            self._delivery.reached(shard, ordinal_next)


class GuardedShard:
    """A shard as the flow's operator sees it."""

    def __init__(self, run: Guarding, part: TopicShard) -> None:
        self._run, self._part = run, part

    def process(self, part: ShardInput) -> ShardOutput:
        """Apply the shard's part of a batch."""
        taken = None
        if self._run.failure.error is None:
            taken = self._run.tried(self._take, part.batch, part.events, part.indices)
        # After an error the flow still runs to its end, as Bytewax can't be told to stop from within a step;
        # nothing more is applied, so nothing goes out.
        if taken is None:
            taken = self._part.nothing()
        return ShardOutput(
            part.shard,
            taken.ordinal,
            taken.ordinal_next,
            taken.decisions,
            taken.dead_letters,
            part.batch.accepted_ns,
            taken.since_ms,
        )

    def _take(self, batch: Batch, events: Sequence[Any], indices: Sequence[int] | None) -> Taken:
        taken = self._part.process(batch, events, indices)
        self._run.applied(self._part.durable, taken.applied, 0 if batch.flags else taken.inputs)
        return taken
