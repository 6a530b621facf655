"""Counts what a run tells of its pace and its scores, to be read from another thread."""

from __future__ import annotations

import threading
import time
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple, get_args

import msgspec

from headrace.control.reader import BatchReader
from headrace.dataflow.telemetry import Phase, Sending
from headrace.journal.checkpoint import Finished
from headrace.operators.events.contract import Event
from headrace.operators.events.decode import NoValue, Undecodable
from headrace.shard.durable import DurableShard
from headrace.shard.kinds import Window
from headrace.shard.telemetry import Stage
from headrace.shard.waiting import NEVER

__all__ = [
    "EVENT_TYPES",
    "LATENCY_EDGES_S",
    "SCORE_EDGES",
    "CheckpointTally",
    "Histogram",
    "Recorder",
]

LATENCY_EDGES_S: Final = (
    *(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0),
    *(10.0, 30.0, 60.0, 150.0, 300.0, 600.0),
)
"""Upper ends of the buckets of latencies, seconds: 0.1 ms to 10 minutes."""

SCORE_EDGES: Final = (
    *(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0),
)
"""Upper ends of the buckets of scores; narrow near 0, where most scores of rare events lie."""

_UNDECODABLE: Final = "undecodable"
_COMMAND: Final = "command"
_TYPE_NAMES: Final[dict[type, str]] = {kind: str(kind.__struct_config__.tag) for kind in get_args(Event)} | {
    Undecodable: _UNDECODABLE,
    NoValue: "tombstone",
}
EVENT_TYPES: Final = (*_TYPE_NAMES.values(), _COMMAND)
"""Built-in types, `undecodable` for lines that are no event, `command` for those of an operator."""

_FEW: Final = 16


def _type_name(kind: type) -> str:
    """Return how a class of inputs is counted."""
    known = _TYPE_NAMES.get(kind)
    if known is None:  # an own type, or a built-in one with own fields
        told = getattr(kind, "__struct_config__", None)
        known = str(told.tag) if told is not None and told.tag_field == "type" else _COMMAND
    return known


class _Scored(msgspec.Struct, gc=False):
    """A decision as far as it is looked into; one may come without a score."""

    score: float | None = None


_decode_scored: Final = msgspec.json.Decoder(_Scored).decode


class Histogram:
    """Counts of values in fixed buckets.

    Parameters
    ----------
    edges
        Upper ends of the buckets, ascending; a value equal to one belongs below it. A last bucket is open.

    Attributes
    ----------
    counts
        Of each bucket, not cumulated.
    total
        The sum of the values.
    """

    __slots__ = ("counts", "edges", "total")

    def __init__(self, edges: Sequence[float]) -> None:
        self.edges = edges
        self.counts = [0] * (len(edges) + 1)
        self.total = 0.0

    def add(self, value: float, count: int = 1) -> None:
        """Count a value, as often as it was seen."""
        self.counts[bisect_left(self.edges, value)] += count
        self.total += value * count

    def add_all(self, values: list[float]) -> None:
        """Count values; the list is sorted in place."""
        if len(values) < _FEW:
            for value in values:
                self.add(value)
            return
        # One search an edge in place of one a value; for a few values the plain loop is quicker.
        values.sort()
        before = 0
        for bucket, edge in enumerate(self.edges):
            up_to = bisect_right(values, edge, before)
            self.counts[bucket] += up_to - before
            before = up_to
        self.counts[-1] += len(values) - before
        self.total += sum(values)

    def copy(self) -> Histogram:
        """Return the same counts, which no longer move."""
        twin = Histogram(self.edges)
        twin.counts, twin.total = self.counts[:], self.total
        return twin


class StagePace(NamedTuple):
    """What was seen of one stage.

    Attributes
    ----------
    latency
        Seconds that each event spent in it, which are those of its whole batch.
    busy_ns
        Nanoseconds that it worked.
    """

    latency: Histogram
    busy_ns: int


class CheckpointTally(NamedTuple):
    """A shard's checkpoints since the start of the process: how many, and seconds of all of them."""

    written: int = 0
    failed: int = 0
    seconds: float = 0.0
    stall_seconds: float = 0.0

    def plus(self, finished: Finished) -> CheckpointTally:
        """Return the tally with one more."""
        return CheckpointTally(
            self.written + finished.ok,
            self.failed + (not finished.ok),
            self.seconds + finished.seconds,
            self.stall_seconds + finished.stall_seconds,
        )


class Recorder:
    """Telemetry that is kept, as plain counts in fixed memory.

    The flow's threads write and the one who watches reads; a lock that is held for microseconds stands
    between them. What the shards count themselves is not counted here again: they are given to the reader.

    Parameters
    ----------
    window
        Remembers how the last decisions turned out, as the kind does.

    Attributes
    ----------
    beside
        Gives what troubles the run that the flow itself doesn't know of.
    recoveries
        For each shard that is taken up, or was, how many inputs it has applied again, and of how many.
    restarts
        How often the processes that share the state were started again, by cause; empty for one alone.
    """

    def __init__(self, window: Window) -> None:
        self._lock = threading.Lock()
        self._latency, self._scores = Histogram(LATENCY_EDGES_S), Histogram(SCORE_EDGES)
        self._waited = Histogram(LATENCY_EDGES_S)
        self._stages = {stage: Histogram(LATENCY_EDGES_S) for stage in get_args(Stage)}
        self._busy_ns: dict[str, int] = dict.fromkeys(get_args(Stage), 0)
        self._events: Counter[type] = Counter()
        self._window = window
        self._checkpoints: dict[str, CheckpointTally] = {}
        self._began = self._moved = time.monotonic()
        self.current: Phase = "recovering"
        self.recovery_s = 0.0
        self.recoveries: dict[int, tuple[int, int]] = {}
        self.updates = 0
        self.shards: tuple[DurableShard, ...] = ()
        self.reader: BatchReader | None = None
        self.sending: Sending | None = None
        self.beside: Callable[[], Sequence[str]] = tuple
        self.restarts: Mapping[str, int] = {}

    # -- what the run tells

    def phase(self, name: Phase) -> None:
        """Note that the run enters a phase."""
        self._moved = time.monotonic()
        if self.current == "recovering":
            self.recovery_s = self._moved - self._began
        self.current = name

    def recovering(self, shard: int, applied: int, expected: int) -> None:
        """Note that a shard has so far applied so many inputs again, of so many."""
        self.recoveries[shard] = (applied, expected)

    def opened(
        self, shards: Sequence[DurableShard], reader: BatchReader, sending: Sending | None = None
    ) -> None:
        """Note that the state is taken up, sources and outputs are open."""
        self.sending = sending
        self.reader, self.shards = reader, tuple(shards)

    def turned(self) -> None:
        """Note that the source is asked for its next lines, and nothing holds it back."""
        self._moved = time.monotonic()

    def batch(self, stage: Stage, ns: int, events: int) -> None:
        """Note that a batch has passed a stage."""
        with self._lock:
            self._stages[stage].add(ns / 1e9, events)
            self._busy_ns[stage] += ns

    def decoded(self, events: Sequence[object]) -> None:
        """Lines were decoded."""
        with self._lock:
            # By class, counted in C; the names of types are looked up when somebody asks.
            self._events.update(map(type, events))

    def decided(self, decisions: Sequence[tuple[int, bytes]]) -> None:
        """Decisions are about to go out."""
        # Decoded before the lock is taken: a scrape must never wait for a batch, nor a batch for a scrape.
        found = [_decode_scored(line).score for _, line in decisions if not line.isspace()]  # erased: blank
        scores = [score for score in found if score is not None]
        with self._lock:
            self._scores.add_all(scores)

    def evaluated(self, evaluated: Sequence[Any], *, learned: bool) -> None:
        """Decisions were evaluated by what came later."""
        with self._lock:
            self._window.extend(evaluated)
            if learned:
                self.updates += len(evaluated)

    def latency(self, accepted_ns: int, count: int, now_ns: int) -> None:
        """Decisions of one batch were written."""
        with self._lock:
            self._latency.add((now_ns - accepted_ns) / 1e9, count)

    def waited(self, since_ms: Sequence[int], count: int, now_ms: int) -> None:
        """Decisions of one batch were written; each of those given stands for as many others."""
        # A sample stands for all, so that the cost of a batch doesn't grow with its decisions; and the total
        # is exact.
        share, rest = divmod(count, len(since_ms))
        with self._lock:
            for place, since in enumerate(since_ms):
                if since != NEVER:
                    self._waited.add(max(now_ms - since, 0) / 1000, share + (place < rest))

    def checkpointed(self, finished: Finished) -> None:
        """Note that a checkpoint has ended."""
        shard = finished.path.parent.name
        with self._lock:
            self._checkpoints[shard] = self._checkpoints.get(shard, CheckpointTally()).plus(finished)

    # -- what may be asked

    @property
    def stalled_s(self) -> float:
        """Seconds for which a running flow has not moved; 0 in the other phases."""
        return time.monotonic() - self._moved if self.current == "running" else 0.0

    def troubles(self) -> list[str]:
        """Return what keeps a running flow from deciding all that comes, for a person."""
        ask = getattr(self.reader, "troubles", tuple)
        return [*ask(), *self.beside()]

    @property
    def up_s(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._began

    def latencies(self) -> Histogram:
        """Seconds from reading a batch to writing its decisions."""
        with self._lock:
            return self._latency.copy()

    def waits(self) -> Histogram:
        """Seconds from the timestamps of messages to the writing of their decisions."""
        with self._lock:
            return self._waited.copy()

    def scores(self) -> Histogram:
        """Scores of the decisions."""
        with self._lock:
            return self._scores.copy()

    def stages(self) -> dict[str, StagePace]:
        """Return what was seen of each stage."""
        with self._lock:
            return {
                stage: StagePace(seen.copy(), self._busy_ns[stage]) for stage, seen in self._stages.items()
            }

    def events(self) -> dict[str, int]:
        """Lines by their type; each type of the contract is there."""
        with self._lock:
            seen = self._events.copy()
        own = self.shards[0].state.contract.types if self.shards else ()
        counts = dict.fromkeys((*EVENT_TYPES, *own), 0)
        for kind, count in seen.items():
            name = _type_name(kind)
            counts[name] = counts.get(name, 0) + count
        return counts

    def window(self) -> Window:
        """Return how the last decisions turned out."""
        with self._lock:
            return self._window.copy()

    def checkpoints(self, shard: str) -> CheckpointTally:
        """Return the tally of a shard, by the name of its folder."""
        with self._lock:
            return self._checkpoints.get(shard, CheckpointTally())
