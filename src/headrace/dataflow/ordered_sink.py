"""The sink of a flow on files: what all shards give out, in the order of their inputs."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Final

from bytewax.outputs import FixedPartitionedSink, StatefulSinkPartition

from headrace.dataflow.failure import Failure
from headrace.dataflow.shard_parts import ShardOutput
from headrace.dataflow.telemetry import SILENT, Telemetry
from headrace.files.output_file import OutputFile

__all__ = ["OrderedFile", "OrderedSink"]

_PART: Final = "all"


@dataclass(slots=True)
class OrderedFile:
    """One of the two files that an `OrderedSink` writes.

    Attributes
    ----------
    file
        Where to write.
    on_written
        Called after each batch with its `accepted_ns` and the number of lines.
    reached
        Ordinal up to which, at least, everything is written.
    """

    file: OutputFile
    on_written: Callable[[int, int], None] = lambda _accepted_ns, _count: None
    reached: int = 0

    def write(self, first: ShardOutput, lines: Sequence[tuple[int, bytes]], telemetry: Telemetry) -> None:
        """Write lines of a batch, of which `first` is one of the parts."""
        if lines:
            begun = time.perf_counter_ns()
            self.file.write([line for _, line in lines])
            telemetry.batch("write", time.perf_counter_ns() - begun, len(lines))
        self.reached = first.ordinal  # of the batch's first line: it may not be the last part of the batch
        self.on_written(first.accepted_ns, len(lines))


class OrderedSink(FixedPartitionedSink[ShardOutput, None]):
    """Writes what all shards give out in the order of their inputs.

    What a shard gives out waits until every shard has given out its part of the same batch.

    Parameters
    ----------
    decisions, dead_letters
        Where to write.
    shards
        How many there are.
    telemetry
        Is told how long writing takes.
    failure
        Keeps an error, after which nothing is written; without it errors are raised.
    """

    def __init__(
        self,
        decisions: OrderedFile,
        dead_letters: OrderedFile,
        shards: int,
        telemetry: Telemetry = SILENT,
        failure: Failure | None = None,
    ) -> None:
        self.decisions, self.dead_letters, self.shards = decisions, dead_letters, shards
        self.telemetry, self.failure = telemetry, failure

    def list_parts(self) -> list[str]:
        """One partition: there is one order."""
        return [_PART]

    def build_part(self, step_id: str, for_part: str, resume_state: None) -> _OrderedPart:
        """Build the partition; the outputs were cut to their lengths before."""
        del step_id, for_part, resume_state
        return _OrderedPart(self)


class _OrderedPart(StatefulSinkPartition[ShardOutput, None]):
    def __init__(self, sink: OrderedSink) -> None:
        self._sink = sink
        self._waiting: list[deque[ShardOutput]] = [deque() for _ in range(sink.shards)]

    def write_batch(self, values: list[ShardOutput]) -> None:
        for value in values:
            self._waiting[value.shard].append(value)
        # A batch is written once every shard has given its part, so that the order doesn't hang on which was
        # quicker.
        while all(self._waiting):
            self._write([queue.popleft() for queue in self._waiting])

    def _write(self, parts: list[ShardOutput]) -> None:
        assert len({part.ordinal for part in parts}) == 1, "shards gave out parts of different batches"
        sink = self._sink
        if sink.failure is None:
            self._write_both(parts)
        elif sink.failure.error is None:
            with sink.failure.kept():
                self._write_both(parts)

    def _write_both(self, parts: list[ShardOutput]) -> None:
        sink, first = self._sink, parts[0]
        sink.decisions.write(first, _in_order([part.decisions for part in parts]), sink.telemetry)
        sink.dead_letters.write(first, _in_order([part.dead_letters for part in parts]), sink.telemetry)

    def snapshot(self) -> None:
        return None


def _in_order(parts: list[list[tuple[int, bytes]]]) -> list[tuple[int, bytes]]:
    """Lines of all shards by the ordinals of their inputs."""
    if len(parts) == 1:
        return parts[0]
    # The sort is stable: lines that answer one input stay in the order of the shards.
    return sorted([line for part in parts for line in part], key=itemgetter(0))
