"""Reads the counts of a run, each part once a scrape, from another thread than the flow's."""

from __future__ import annotations

import os
import platform
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any, Final, TypeAlias, TypeVar, get_args

from headrace import __version__
from headrace.config.addresses import partition_of
from headrace.config.tables import RunSettings
from headrace.dataflow.telemetry import Phase
from headrace.journal.checkpoint import checkpoint_numbers, checkpoint_path
from headrace.journal.segments import segment_numbers, segment_path
from headrace.journal.writer import JournalWriter
from headrace.metrics.recorder import Histogram, Recorder
from headrace.operators.compiled.twins import TWINS
from headrace.shard.deduplication import IdMemory
from headrace.shard.durable import DurableShard
from headrace.shard.kinds import actions_of
from headrace.shard.machine import Machine

__all__ = ["Reader", "Sample", "Scrape"]

T = TypeVar("T")
Sample: TypeAlias = "tuple[tuple[str, ...], float | Histogram]"
Reader: TypeAlias = "Callable[[Scrape], Iterable[Sample]]"

_REASONS: Final = (
    *("line_too_long", "invalid_utf8", "invalid_json", "unknown_type", "missing_field", "invalid_field"),
    *("event_time_out_of_range", "id_conflict", "other_currency", "unfit", "refused_command"),
    *("nested_too_deep", "internal_error", "skipped", "registry_framing", "unreadable"),
)


class Scrape:
    """What one scrape reads.

    The flow goes on meanwhile. What it may grow is copied by one call into C, which no other thread of Python
    can interrupt.

    Parameters
    ----------
    recorder
        What the run tells. Before its shards are open nothing that they count is read: a counter that goes on
        over a restart must not seem to start from 0.
    settings
        The configuration of the run.
    config
        The beginning of its digest.
    """

    def __init__(self, recorder: Recorder, settings: RunSettings, config: str) -> None:
        self.recorder, self.settings, self.config = recorder, settings, config
        self.shards: tuple[DurableShard, ...] = recorder.shards
        self.states: list[Machine] = [shard.state for shard in self.shards]

    def machines(self, kind: type[T]) -> list[T]:
        """Return the state machines of a class, in the order of their shards."""
        return [state for state in self.states if isinstance(state, kind)]

    @cached_property
    def counts(self) -> Counter[str]:
        """What all shards together have counted."""
        together: Counter[str] = Counter()
        for state in self.states:
            # `copy` is one step to the interpreter's lock; iterating could meet a count that the flow's
            # thread adds.
            together.update(state.counts.copy())
        return together

    @cached_property
    def quality(self) -> Any | None:
        """Quality over the window of the last decisions that were evaluated, as the kind computes it."""
        return self.recorder.window().quality()

    def counted(self, keys: Iterable[tuple[str, str]]) -> Iterator[Sample]:
        """Yield counts of the shards by their keys, each with the label that stands for it."""
        if self.shards:
            yield from (((label,), self.counts[key]) for label, key in keys)

    def prefixed(self, prefix: str, known: Iterable[str]) -> Iterator[Sample]:
        """Return counts whose keys begin so: what is known to come, and what came besides."""
        named = [name.removeprefix(prefix) for name in self.counts if name.startswith(prefix)]
        # Known reasons are there from the first scrape on, with 0: the rate of a series that appears with its
        # first count misses that count.
        return self.counted((name, prefix + name) for name in dict.fromkeys([*known, *named]))

    @cached_property
    def _names(self) -> dict[int, str]:
        names: dict[int, str] = {}
        for shard in self.shards:
            names |= shard.sources.names.copy()
        return names

    def source(self, number: int) -> tuple[str, str, str]:
        """Labels of a source: its number, and topic and partition, which are empty for a file."""
        topic, partition = partition_of(self._names.get(number, "")) or ("", "")
        return str(number), topic, str(partition)

    def numbered(self) -> Iterator[tuple[str, DurableShard]]:
        """Return the shards, each with its number in the flow; other processes may have others."""
        return ((f"{shard.shard:02}", shard) for shard in self.shards)

    def folders(self) -> Iterator[tuple[str, Path]]:
        """Yield the number and folder of each shard that keeps its state."""
        for number, shard in self.numbered():
            if shard.directory is not None:
                yield number, shard.directory


# -- one figure


def plain(key: str) -> Reader:
    """Read one count of the shards."""

    def read(scrape: Scrape) -> Iterator[Sample]:
        if scrape.shards:
            yield (), scrape.counts[key]

    return read


def of_recorder(read_one: Callable[[Recorder], float | Histogram]) -> Reader:
    """Read what the recorder has counted itself."""

    def read(scrape: Scrape) -> Iterator[Sample]:
        yield (), read_one(scrape.recorder)

    return read


def of_quality(kind: type[T], read_one: Callable[[T], float | None]) -> Reader:
    """Read a figure of the window's quality, where there is one and it is of a class."""

    def read(scrape: Scrape) -> Iterator[Sample]:
        value = read_one(scrape.quality) if isinstance(scrape.quality, kind) else None
        if value is not None:
            yield (), value

    return read


# -- events, decisions, outcomes


def events(scrape: Scrape) -> Iterator[Sample]:
    """By type."""
    return (((kind,), count) for kind, count in scrape.recorder.events().items())


def decisions(scrape: Scrape) -> Iterator[Sample]:
    """By action."""
    return scrape.counted((action, action) for action in actions_of(scrape.settings))


def kill_switches(scrape: Scrape) -> Iterator[Sample]:
    """By shard."""
    return (((number,), shard.state.kill_switch) for number, shard in scrape.numbered())


def dead_letters(scrape: Scrape) -> Iterator[Sample]:
    """By reason."""
    return scrape.prefixed("dead_", _REASONS)


def untimely(scrape: Scrape) -> Iterator[Sample]:
    """By type, of those that move windows, and by whether late or ahead."""
    kinds = scrape.states[0].moved_by if scrape.states else ()
    for kind, timing in product(kinds, ("late", "ahead")):
        yield (kind, timing), scrape.counts[f"{kind}s_{timing}"]


# -- memory


def entities(scrape: Scrape) -> Iterator[Sample]:
    """By kind."""
    together: Counter[str] = Counter()
    for state in scrape.states:
        together.update(state.entities())
    return (((name,), count) for name, count in together.items())


def of_ids(read_one: Callable[[IdMemory], float]) -> Reader:
    """Read a number of the id memories, by event type."""

    def read(scrape: Scrape) -> Iterator[Sample]:
        # A type that isn't declared any more may still have ids in one shard and none in another.
        for name in dict.fromkeys(name for state in scrape.states for name in state.ids):
            yield (name,), sum(read_one(state.ids[name]) for state in scrape.states if name in state.ids)

    return read


# -- pace


def end_to_end_latencies(scrape: Scrape) -> Iterator[Sample]:
    """Of all decisions; none in a run on files."""
    if hasattr(scrape.recorder.reader, "timestamps"):
        yield (), scrape.recorder.waits()


def stage_latencies(scrape: Scrape) -> Iterator[Sample]:
    """By stage."""
    return (((stage,), pace.latency) for stage, pace in scrape.recorder.stages().items())


def stage_work(scrape: Scrape) -> Iterator[Sample]:
    """Seconds by stage."""
    return (((stage,), pace.busy_ns / 1e9) for stage, pace in scrape.recorder.stages().items())


def source_bytes(scrape: Scrape) -> Iterator[Sample]:
    """Yield used up, by source."""
    reader = scrape.recorder.reader
    for number, progress in reader.progress_by_source if reader else ():
        yield scrape.source(number), progress.bytes_done


def source_sizes(scrape: Scrape) -> Iterator[Sample]:
    """By source."""
    reader = scrape.recorder.reader
    for number, progress in reader.progress_by_source if reader else ():
        if progress.bytes_total is not None:
            yield scrape.source(number), progress.bytes_total


def lags(scrape: Scrape) -> Iterator[Sample]:
    """Messages, by source; none of files, nor while it isn't known."""
    for number, messages, _ in getattr(scrape.recorder.reader, "lags", ()):
        if messages is not None:
            yield scrape.source(number), messages


def lags_known(scrape: Scrape) -> Iterator[Sample]:
    """By source; none of files."""
    for number, messages, _ in getattr(scrape.recorder.reader, "lags", ()):
        yield scrape.source(number), messages is not None


def lag_ages(scrape: Scrape) -> Iterator[Sample]:
    """Seconds, by source; none of files, nor before the first message."""
    for number, _, age_s in getattr(scrape.recorder.reader, "lags", ()):
        if age_s is not None:
            yield scrape.source(number), age_s


def unread_partitions(scrape: Scrape) -> Iterator[Sample]:
    """By topic; none of files."""
    reader = scrape.recorder.reader
    unread = getattr(reader, "unread", {})
    for topic in dict.fromkeys(scrape.source(number)[1] for number, *_ in getattr(reader, "lags", ())):
        yield (topic,), unread.get(topic, 0)


def queued_messages(scrape: Scrape) -> Iterator[Sample]:
    """None in a run on files."""
    if scrape.recorder.sending is not None:
        yield (), scrape.recorder.sending.queued[0]


def queued_bytes(scrape: Scrape) -> Iterator[Sample]:
    """None in a run on files."""
    if scrape.recorder.sending is not None:
        yield (), scrape.recorder.sending.queued[1]


def restarts(scrape: Scrape) -> Iterator[Sample]:
    """By cause; none of a process that runs alone."""
    return (((cause,), count) for cause, count in scrape.recorder.restarts.items())


def of_sending(name: str) -> Reader:
    """Read a count of what sends to topics; none in a run on files."""

    def read(scrape: Scrape) -> Iterator[Sample]:
        count = getattr(scrape.recorder.sending, name, None)
        if count is not None:
            yield (), count

    return read


def headers_dropped(scrape: Scrape) -> Iterator[Sample]:
    """Of all partitions of this process; none in a run on files."""
    dropped = getattr(scrape.recorder.reader, "headers_dropped", None)
    if dropped is not None:
        yield (), dropped


def merge_waits(scrape: Scrape) -> Iterator[Sample]:
    """Over all partitions of this process; none in a run on files."""
    waits = getattr(scrape.recorder.reader, "merge_waits", None)
    if waits is not None:
        yield (), waits


def skewed(scrape: Scrape) -> Iterator[Sample]:
    """By direction; none in a run on files."""
    found = getattr(scrape.recorder.reader, "skewed", None)
    if found is not None:
        yield from (((direction,), count) for direction, count in found._asdict().items())


def timestamps(scrape: Scrape) -> Iterator[Sample]:
    """1 for what the messages of a topic are stamped with; none of files, nor before a first message."""
    for topic, timestamp in getattr(scrape.recorder.reader, "timestamps", {}).items():
        yield (topic, timestamp), 1


def broker_silence(scrape: Scrape) -> Iterator[Sample]:
    """Seconds; none in a run on files."""
    silent_s = getattr(scrape.recorder.reader, "silent_s", None)
    if silent_s is not None:
        yield (), silent_s


def positions(scrape: Scrape) -> Iterator[Sample]:
    """By shard."""
    return (((number,), shard.position) for number, shard in scrape.numbered())


def clocks(scrape: Scrape) -> Iterator[Sample]:
    """Seconds since the epoch, by shard."""
    for number, shard in scrape.numbered():
        if shard.state.clock.now:
            yield (number,), shard.state.clock.now / 1000


def clock_steps(scrape: Scrape) -> Iterator[Sample]:
    """Over all shards, by what became of them."""
    if scrape.shards:
        clocks = [shard.state.clock for shard in scrape.shards]
        yield ("accepted",), sum(clock.accepted for clock in clocks)
        yield ("refused",), sum(clock.refused for clock in clocks)
        yield ("set",), scrape.counts["clock_set"]


def watermark_votes(scrape: Scrape) -> Iterator[Sample]:
    """By shard; none before the first event, when there is nothing to be ahead of."""
    for number, shard in scrape.numbered():
        clock = shard.state.clock
        if clock.now:
            votes = clock.votes
            yield (number,), votes.events if votes else 0


def phases(scrape: Scrape) -> Iterator[Sample]:
    """By phase."""
    return (((phase,), phase == scrape.recorder.current) for phase in get_args(Phase))


def replayed(scrape: Scrape) -> Iterator[Sample]:
    """By shard, of those that are taken up or are about to be."""
    recoveries = scrape.recorder.recoveries.copy()
    for number in sorted({*recoveries, *(shard.shard for shard in scrape.shards)}):
        yield (f"{number:02}",), recoveries.get(number, (0, 0))[0]


def to_replay(scrape: Scrape) -> Iterator[Sample]:
    """By shard, of those that are taken up or are about to be."""
    recoveries = scrape.recorder.recoveries.copy()
    for number in sorted({*recoveries, *(shard.shard for shard in scrape.shards)}):
        yield (f"{number:02}",), recoveries.get(number, (0, 0))[1]


def twins(scrape: Scrape) -> Iterator[Sample]:
    """By shard and twin."""
    for number, shard in scrape.numbered():
        compiled = shard.state.compiled
        yield from (((number, "compiled"), compiled), ((number, "plain"), not compiled))


def compilations_failed(_scrape: Scrape) -> Iterator[Sample]:
    """Of this process."""
    yield (), TWINS.failures


def build(scrape: Scrape) -> Iterator[Sample]:
    """Version, Python, flow, model, configuration."""
    settings = scrape.settings
    model = scrape.states[0].version if scrape.states else settings.model_name
    labels = (__version__, platform.python_version(), settings.flow.kind, model, scrape.config)
    yield labels, 1.0


# -- the state on disk


def of_journal(read_one: Callable[[JournalWriter], float]) -> Reader:
    """Read a number of each shard's journal."""

    def read(scrape: Scrape) -> Iterator[Sample]:
        for number, shard in scrape.numbered():
            if shard.journal is not None:
                yield (number,), read_one(shard.journal)

    return read


def journal_files(scrape: Scrape) -> Iterator[Sample]:
    """Bytes on disk, by shard."""
    for number, folder in scrape.folders():
        with suppress(FileNotFoundError):
            paths = [segment_path(folder, segment) for segment in segment_numbers(folder)]
            yield (number,), sum(os.stat(path).st_size for path in paths)


def of_shard(read_one: Callable[[DurableShard], float]) -> Reader:
    """Read a number of each shard that is kept."""

    def read(scrape: Scrape) -> Iterator[Sample]:
        for number, shard in enumerate(scrape.shards):
            if shard.journal is not None:
                yield (f"{number:02}",), read_one(shard)

    return read


def inputs_failed(scrape: Scrape) -> Iterator[Sample]:
    """All shards of a process note it in the same place."""
    if scrape.shards:
        attempt = next((shard.attempt for shard in scrape.shards if shard.attempt is not None), None)
        yield (), 0 if attempt is None else attempt.failures


def checkpoint_ages(scrape: Scrape) -> Iterator[Sample]:
    """Seconds by the wall clock, by shard; since the start of the run where there is no checkpoint."""
    for number, folder in scrape.folders():
        with suppress(FileNotFoundError):
            newest = next(iter(checkpoint_numbers(folder)), None)
            if newest is None:
                yield (number,), scrape.recorder.up_s
            else:
                written = os.stat(checkpoint_path(folder, newest)).st_mtime
                yield (number,), max(0.0, time.time() - written)


def checkpoints(scrape: Scrape) -> Iterator[Sample]:
    """By shard and result."""
    for number, folder in scrape.folders():
        tally = scrape.recorder.checkpoints(folder.name)
        yield (number, "written"), tally.written
        yield (number, "failed"), tally.failed


def checkpoint_durations(scrape: Scrape) -> Iterator[Sample]:
    """Seconds by shard."""
    for number, folder in scrape.folders():
        yield (number,), scrape.recorder.checkpoints(folder.name).seconds


def checkpoint_stalls(scrape: Scrape) -> Iterator[Sample]:
    """Seconds by shard."""
    for number, folder in scrape.folders():
        yield (number,), scrape.recorder.checkpoints(folder.name).stall_seconds
