"""The steps of a flow as Bytewax knows them: source, operators and sinks."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from typing import Any, Final, Protocol

import bytewax.operators as op
from bytewax.dataflow import Stream, operator
from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition
from bytewax.operators import KeyedStream, StatefulBatchLogic
from bytewax.outputs import FixedPartitionedSink, StatefulSinkPartition

from headrace.control.reader import BatchReader
from headrace.dataflow.telemetry import SILENT, Telemetry
from headrace.errors import HeadraceError
from headrace.files.output_file import OutputFile
from headrace.journal.batches import Batch
from headrace.shard.attempts import Attempt

__all__ = [
    "SHARDS_MAX",
    "Failure",
    "FileSource",
    "InFlight",
    "OrderedFile",
    "OrderedSink",
    "ShardInput",
    "ShardLogic",
    "ShardOutput",
    "by_shard",
    "shard",
    "shard_keys",
]

_PART: Final = "all"
_WAIT_S_MAX: Final = 0.1
# Bytewax hands a key to worker `hash % workers`. With these letters the hash of key i is i modulo 12, so that
# 2, 3, 4, 6 or 12 workers get equal shares; a test watches it.
_LETTERS: Final = "dmkimwqacbHyanamdAckkcckeghelaChagwfnibghsgkBkJedlxaicaglldbdfoj"
SHARDS_MAX: Final = len(_LETTERS)


def shard_keys(shards: int) -> list[str]:
    """Keys of the shards, such that the workers get equal shares of them.

    Raises
    ------
    ValueError
        If there are more than `SHARDS_MAX`.
    """
    if not 1 <= shards <= SHARDS_MAX:
        raise ValueError(f"shards: must be between 1 and {SHARDS_MAX} (is {shards})")
    return [f"{number:02}{letter}" for number, letter in enumerate(_LETTERS[:shards])]


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
    places
        Which of its lines are for this shard, ascending; None for all.
    """

    shard: int
    batch: Batch
    events: list[Any]
    places: list[int] | None


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


class InFlight:
    """Counts the batches between a source and a sink of one process, so that no queue grows without limit.

    Bytewax lets a source run ahead of steps on other workers as fast as it can.

    Parameters
    ----------
    batches_max
        With so many on their way the source waits.
    """

    def __init__(self, batches_max: int) -> None:
        self._batches_max = batches_max
        # Each is written by one thread only.
        self._begun = self._ended = 0

    @property
    def full(self) -> bool:
        """Whether the source has to wait."""
        return self._begun - self._ended >= self._batches_max

    def begin(self) -> None:
        """A batch leaves the source."""
        self._begun += 1

    def end(self) -> None:
        """A batch was written."""
        self._ended += 1


class Failure:
    """The first error of a flow's steps, after which it only drains.

    An exception in a step ends the flow as well, but Bytewax panics over it on standard error.

    Attributes
    ----------
    error : HeadraceError | OSError | None
        None as long as all is well.
    """

    def __init__(self) -> None:
        self.error: HeadraceError | OSError | None = None

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Keep an error of what is done inside, which must not be done again after it."""
        try:
            yield
        except (HeadraceError, OSError) as error:
            self.error = error

    def raise_again(self) -> None:
        """Raise the error, if there was one, once the flow has ended."""
        if self.error is not None:
            raise self.error


# -- source


class FileSource(FixedPartitionedSource[Batch, None]):
    """Batches of a reader, as one partition.

    An input that ends too early must not take down what was read before: the source ends as at its proper
    end, and the error waits in `error` until the flow is done.

    Parameters
    ----------
    reader
        Where batches come from.
    drain
        Asked before every batch; once it says yes the source ends.
    in_flight
        Shared with the sink, when they may be on different workers.
    telemetry
        Is told how long reading takes.

    Attributes
    ----------
    error : HeadraceError | None
        Why the source ended before its proper end.
    """

    def __init__(
        self,
        reader: BatchReader,
        *,
        drain: Callable[[], bool] = lambda: False,
        in_flight: InFlight | None = None,
        telemetry: Telemetry = SILENT,
    ) -> None:
        self.error: HeadraceError | None = None
        self.reader, self.drain, self.in_flight = reader, drain, in_flight
        self.telemetry = telemetry

    def list_parts(self) -> list[str]:
        """One partition: the files are merged into one order."""
        return [_PART]

    def build_part(self, step_id: str, for_part: str, resume_state: None) -> _FilePart:
        """Build the partition; where it goes on is the reader's matter."""
        del step_id, for_part, resume_state
        return _FilePart(self)


class _FilePart(StatefulSourcePartition[Batch, None]):
    def __init__(self, source: FileSource) -> None:
        self._source, self._reader = source, source.reader

    def next_batch(self) -> list[Batch]:
        source = self._source
        if source.drain():
            raise StopIteration
        if source.in_flight is not None and source.in_flight.full:
            return []
        source.telemetry.turned()
        begun = time.perf_counter_ns()
        batch = self._read()
        if batch is None:
            if self._reader.ended:
                raise StopIteration
            return []
        if source.in_flight is not None:
            source.in_flight.begin()
        source.telemetry.batch("read", time.perf_counter_ns() - begun, len(batch.payloads))
        return [batch]

    def _read(self) -> Batch | None:
        try:
            return self._reader.next_batch()
        except HeadraceError as error:
            self._source.error = error
            raise StopIteration from error

    def next_awake(self) -> datetime | None:
        due_s = self._reader.next_due_s()
        if due_s is None:
            # A pipe is waited for while it is read, so there is no need to wait here as well.
            return datetime.now(UTC) if self._reader.stream else None
        return datetime.now(UTC) + timedelta(seconds=min(due_s, _WAIT_S_MAX))

    def snapshot(self) -> None:
        return None


# -- operators


@operator
def by_shard(
    step_id: str,
    up: Stream[Batch],
    decoder: Callable[[Sequence[bytes], Sequence[int]], list[Any]],
    shards: int,
    shard_of: Callable[[Any], int | None],
    telemetry: Telemetry = SILENT,
    attempt: Attempt | None = None,
) -> KeyedStream[ShardInput]:
    """Decode the lines of batches, and split them into the shards' parts.

    Parameters
    ----------
    step_id
        Unique in the flow.
    up
        Batches.
    decoder
        Takes lines with their flags, gives for each an event or the reason why it is none.
    shards
        How many there are.
    shard_of
        Number of the shard that an event belongs to; None for every shard. Not asked when there is but one.
    telemetry
        Is told how long decoding takes.
    attempt
        Is told which line is decoded, as long as it is careful.

    Returns
    -------
    KeyedStream[ShardInput]
        For each batch one from every shard, in the order of the shards.
    """
    del step_id
    keys = shard_keys(shards)

    def decoded(batch: Batch) -> list[Any]:
        begun = time.perf_counter_ns()
        if attempt is not None and attempt.careful:
            events = attempt.decoded(batch, decoder)
        else:
            events = decoder(batch.payloads, batch.flags)
        telemetry.batch("decode", time.perf_counter_ns() - begun, len(events))
        telemetry.decoded(events)
        return events

    def split(batches: list[Batch]) -> list[tuple[str, ShardInput]]:
        found = []
        for batch in batches:
            events = decoded(batch)
            places = [None] if shards == 1 else _places(events, shards, shard_of)
            found += [(key, ShardInput(at, batch, events, places[at])) for at, key in enumerate(keys)]
        return found

    # One step for both, as what a step costs is a large part of what a batch of one event costs.
    return op.flat_map_batch("split", up, split)


def _places(events: list[Any], shards: int, shard_of: Callable[[Any], int | None]) -> list[list[int] | None]:
    places: list[list[int]] = [[] for _ in range(shards)]
    for place, event in enumerate(events):
        number = shard_of(event)
        for chosen in places if number is None else (places[number],):
            chosen.append(place)
    return [*places]


class _ShardStep(StatefulBatchLogic[ShardInput, ShardOutput, None]):
    """A shard under its key. Bytewax keeps nothing of it, and its end is not the shard's end."""

    def __init__(self, build: Callable[[int], ShardLogic]) -> None:
        self._build = build
        self._logic: ShardLogic | None = None

    def on_batch(self, values: list[ShardInput]) -> tuple[list[ShardOutput], bool]:
        if self._logic is None:
            self._logic = self._build(values[0].shard)
        return list(map(self._logic.process, values)), StatefulBatchLogic.RETAIN

    def snapshot(self) -> None:
        return None


class _Shards:
    """All shards, where there is but one worker."""

    def __init__(self, build: Callable[[int], ShardLogic]) -> None:
        self._build = build
        self._logics: dict[int, ShardLogic] = {}

    def __call__(self, parts: list[tuple[str, ShardInput]]) -> list[tuple[str, ShardOutput]]:
        return [(key, self._logic(part.shard).process(part)) for key, part in parts]

    def _logic(self, number: int) -> ShardLogic:
        logic = self._logics.get(number)
        if logic is None:
            logic = self._logics[number] = self._build(number)
        return logic


@operator
def shard(
    step_id: str, up: KeyedStream[ShardInput], build: Callable[[int], ShardLogic], workers: int = 1
) -> KeyedStream[ShardOutput]:
    """Let shards decide.

    Parameters
    ----------
    step_id
        Unique in the flow.
    up
        Parts of batches, under the keys of their shards.
    build
        Gives the logic of a shard by its number, at its first part.
    workers
        How many share the shards.

    Returns
    -------
    KeyedStream[ShardOutput]
        One from each shard for each batch, for an `OrderedSink` or a `TopicSink`.
    """
    del step_id
    if workers == 1:
        # Nothing is to be routed by the shards' keys, which would cost more than all other steps together.
        return op.flat_map_batch("apply", up, _Shards(build))
    return op.stateful_batch("apply", up, lambda _resumed: _ShardStep(build))


# -- sinks


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
    in_flight
        Shared with the source.
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
        in_flight: InFlight | None = None,
        telemetry: Telemetry = SILENT,
        failure: Failure | None = None,
    ) -> None:
        self.decisions, self.dead_letters, self.shards = decisions, dead_letters, shards
        self.in_flight, self.telemetry, self.failure = in_flight, telemetry, failure

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
        if sink.in_flight is not None:
            sink.in_flight.end()

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
