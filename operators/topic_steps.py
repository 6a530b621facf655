"""Source and sink of a flow on topics, as Bytewax knows them: one of each on every worker."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final, Protocol

from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition
from bytewax.outputs import FixedPartitionedSink, StatefulSinkPartition

from headrace.operators.batches import Batch
from headrace.operators.outgoing import Outgoing
from headrace.operators.steps import ShardLines, shard_keys
from headrace.operators.telemetry import SILENT, Telemetry

__all__ = ["Sending", "TopicReading", "TopicSink", "TopicSource"]


_LONG_AGO: Final = datetime(1970, 1, 1, tzinfo=UTC)


class TopicReading(Protocol):
    """What a worker reads."""

    def next_batch(self) -> Batch | None:
        """The next messages or commands; None when there are none now."""
        ...

    def close(self) -> None:
        """Read no more."""


class Sending(Protocol):
    """Where a worker's messages go."""

    def send(self, output: str, messages: Sequence[Outgoing]) -> None:
        """Hand messages over; waits while too many are under way."""

    def reached(self, output: str, shard: int, ordinal_next: int) -> None:
        """Everything of a shard before an ordinal was handed over."""


class TopicSource(FixedPartitionedSource[Batch, None]):
    """Batches of messages, for each worker those of its own partitions.

    Its parts are named as shards are, so that part `i` is with worker `i`. Where reading goes on is said by
    the shards' journals, so Bytewax keeps nothing.

    Parameters
    ----------
    worker, workers
        Which worker this process is, and how many there are.
    open_reading
        Opens what this worker reads, once the flow begins.
    drain
        Asked before every batch; once it says yes the source ends.
    on_turn
        Called in every turn.
    epoch_messages_max
        So many messages are read between two of Bytewax's epochs, which all workers reach together: thus no
        worker runs ahead of the others by more. None for no limit, where there is one worker.
    telemetry
        Is told how long reading takes.
    """

    def __init__(
        self,
        worker: int,
        workers: int,
        open_reading: Callable[[], TopicReading],
        *,
        drain: Callable[[], bool] = lambda: False,
        on_turn: Callable[[], None] = lambda: None,
        epoch_messages_max: int | None = None,
        telemetry: Telemetry = SILENT,
    ) -> None:
        self.worker, self.workers, self.open_reading = worker, workers, open_reading
        self.drain, self.on_turn, self.telemetry = drain, on_turn, telemetry
        self.epoch_messages_max = epoch_messages_max

    def list_parts(self) -> list[str]:
        """One part for each worker."""
        return shard_keys(self.workers)

    def build_part(self, step_id: str, for_part: str, resume_state: None) -> _TopicPart:
        """Open what the worker reads."""
        del step_id, resume_state
        assert for_part == shard_keys(self.workers)[self.worker], "a part came to another worker"
        return _TopicPart(self)


class _TopicPart(StatefulSourcePartition[Batch, None]):
    def __init__(self, source: TopicSource) -> None:
        self._source = source
        self._reading = source.open_reading()
        self._in_epoch = 0

    def next_batch(self) -> list[Batch]:
        source = self._source
        source.on_turn()
        if source.drain():
            raise StopIteration
        if source.epoch_messages_max is not None and self._in_epoch >= source.epoch_messages_max:
            return []
        source.telemetry.turned()
        begun = time.perf_counter_ns()
        batch = self._reading.next_batch()
        if batch is None:
            return []
        self._in_epoch += len(batch.payloads)
        source.telemetry.batch("read", time.perf_counter_ns() - begun, len(batch.payloads))
        return [batch]

    def next_awake(self) -> datetime | None:
        # Without it Bytewax would wait a millisecond after a turn that brought nothing. It counts from before
        # the turn, so the present time would make it wait once more for as long as reading has waited.
        return _LONG_AGO

    def snapshot(self) -> None:
        self._in_epoch = 0

    def close(self) -> None:
        self._reading.close()


class TopicSink(FixedPartitionedSink[ShardLines, None]):
    """Sends what the worker's shards give out.

    Parameters
    ----------
    output
        `decisions` or `dead_letters`.
    workers
        How many there are.
    sending
        Where to.
    on_sent
        Called for each part of a batch with its `accepted_ns` and the number of messages.
    on_close
        Called when nothing more comes.
    telemetry
        Is told how long sending takes.
    """

    def __init__(
        self,
        output: str,
        workers: int,
        sending: Sending,
        *,
        on_sent: Callable[[int, int], None] = lambda _accepted_ns, _count: None,
        on_close: Callable[[], None] = lambda: None,
        telemetry: Telemetry = SILENT,
    ) -> None:
        self.output, self.workers, self.sending = output, workers, sending
        self.on_sent, self.on_close, self.telemetry = on_sent, on_close, telemetry

    def list_parts(self) -> list[str]:
        """One part for each worker."""
        return shard_keys(self.workers)

    def part_fn(self, item_key: str) -> int:
        """The part on the worker that has the shard: that of the shard's number, modulo the workers'."""
        return int(item_key[:2]) % self.workers

    def build_part(self, step_id: str, for_part: str, resume_state: None) -> _SendingPart:
        """Build the part; what the topic lacked was sent before."""
        del step_id, for_part, resume_state
        return _SendingPart(self)


class _SendingPart(StatefulSinkPartition[ShardLines, None]):
    def __init__(self, sink: TopicSink) -> None:
        self._sink = sink

    def write_batch(self, values: list[ShardLines]) -> None:
        sink = self._sink
        for value in values:
            if value.lines:
                begun = time.perf_counter_ns()
                sink.sending.send(sink.output, value.lines)
                sink.telemetry.batch("write", time.perf_counter_ns() - begun, len(value.lines))
            sink.sending.reached(sink.output, value.shard, value.ordinal_next)
            sink.on_sent(value.accepted_ns, len(value.lines))

    def snapshot(self) -> None:
        return None

    def close(self) -> None:
        self._sink.on_close()
