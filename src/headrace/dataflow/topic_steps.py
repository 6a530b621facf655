"""Source and sink of a flow on topics, as Bytewax knows them: one of each on every worker."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final, Protocol

from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition
from bytewax.outputs import DynamicSink, StatelessSinkPartition

from headrace.dataflow.shard_keys import shard_keys
from headrace.dataflow.shard_parts import ShardOutput
from headrace.dataflow.telemetry import SILENT, Telemetry
from headrace.journal.batches import Batch
from headrace.shard.outgoing import DEAD_LETTERS, DECISIONS, Outgoing

__all__ = ["Sending", "TopicReading", "TopicSink", "TopicSource"]


_LONG_AGO: Final = datetime(1970, 1, 1, tzinfo=UTC)


class TopicReading(Protocol):
    """What a worker reads."""

    def next_batch(self) -> Batch | None:
        """Return the next messages or commands; None when there are none now."""
        ...

    def close(self) -> None:
        """Read no more."""


class Sending(Protocol):
    """Where a worker's messages go."""

    def send(self, output: str, messages: Sequence[Outgoing]) -> None:
        """Hand messages over; waits while too many are under way."""

    def reached(self, shard: int, ordinal_next: int) -> None:
        """Everything of a shard before an ordinal was handed over, for all outputs."""


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
        # Before anything is read, so that acknowledgements come in also while no message does.
        source.on_turn()
        if source.drain():
            raise StopIteration
        # A worker that ran on would fill the queues of slower ones; the end of an epoch is where all of them
        # meet.
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


class TopicSink(DynamicSink[tuple[str, ShardOutput]]):
    """Sends what the worker's shards give out.

    Parameters
    ----------
    sending
        Where to.
    on_decisions, on_dead_letters
        Called for each part of a batch that has some, with its `accepted_ns` and their number; of decisions
        also with since when some of them waited.
    on_close
        Called when nothing more comes.
    telemetry
        Is told how long sending takes.
    """

    def __init__(
        self,
        sending: Sending,
        *,
        on_decisions: Callable[[int, int, Sequence[int]], None] = lambda _accepted_ns, _count, _since_ms: (
            None
        ),
        on_dead_letters: Callable[[int, int], None] = lambda _accepted_ns, _count: None,
        on_close: Callable[[], None] = lambda: None,
        telemetry: Telemetry = SILENT,
    ) -> None:
        self.sending, self.on_close, self.telemetry = sending, on_close, telemetry
        self.on_decisions, self.on_dead_letters = on_decisions, on_dead_letters

    def build(self, step_id: str, worker_index: int, worker_count: int) -> _SendingPart:
        """Build the worker's part; what the topics lacked was sent before."""
        del step_id, worker_index, worker_count
        return _SendingPart(self)


class _SendingPart(StatelessSinkPartition[tuple[str, ShardOutput]]):
    def __init__(self, sink: TopicSink) -> None:
        self._sink = sink

    def write_batch(self, items: list[tuple[str, ShardOutput]]) -> None:
        sink = self._sink
        for _, value in items:
            if value.decisions:
                self._send(DECISIONS, value.decisions)
                sink.on_decisions(value.accepted_ns, len(value.decisions), value.since_ms)
            if value.dead_letters:
                self._send(DEAD_LETTERS, value.dead_letters)
                sink.on_dead_letters(value.accepted_ns, len(value.dead_letters))
            # Behind both sends: it says that all messages of these inputs were handed over.
            sink.sending.reached(value.shard, value.ordinal_next)

    def _send(self, output: str, messages: list[Outgoing]) -> None:
        begun = time.perf_counter_ns()
        self._sink.sending.send(output, messages)
        self._sink.telemetry.batch("write", time.perf_counter_ns() - begun, len(messages))

    def close(self) -> None:
        self._sink.on_close()
