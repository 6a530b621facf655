"""A state's inputs in the order in which they came, merged over its shards, with what was made of each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from heapq import merge
from operator import attrgetter
from pathlib import Path
from typing import Any

import orjson

from headrace.config.canonical import digest, restore
from headrace.config.tables import RunSettings
from headrace.errors import CheckpointDamaged, StateError
from headrace.journal.checkpoint import checkpoint_path, read_checkpoint
from headrace.journal.frames import GENESIS, Boundary, Frame
from headrace.journal.reader import JournalReader
from headrace.journal.records import Kind, Record
from headrace.journal.scan import counted_apart, note_records
from headrace.journal.segments import first_boundary
from headrace.replay.turns import in_turns
from headrace.shard.routing import route_of

__all__ = ["Past", "Recorded"]

_ordinal = attrgetter("ordinal")
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Recorded:
    """A configuration that was in force.

    Attributes
    ----------
    ordinal
        Of the first input that it held for.
    settings, digest
        The configuration, and SHA-256 of its canonical form.
    learn
        Whether the model learned.
    code, platform
        Version of Headrace; and of Python, machine and C library, None where it wasn't kept.
    """

    ordinal: int
    settings: RunSettings
    digest: str
    learn: bool
    code: str
    platform: str | None

    @property
    def model(self) -> str:
        """What was decided with."""
        return self.settings.model_name


class Past:
    """What a state's journals hold.

    Parameters
    ----------
    directories
        The shards', in order.

    Attributes
    ----------
    ordinal_first
        Of the first input that every shard still has. On topics each shard counts its own inputs: there it is
        how many are no longer kept, and those that are kept are numbered from it on.
    configurations
        Those in force, in order; with several shards, as the first one has them. On topics with several
        shards it is known only when it was read which input one holds from.
    policies
        What a checkpoint has of the policy of each shard at the first input, of lists the head of the state;
        empty where it begins with nothing.
    torn
        What interrupted writes, or some that go on, left at the ends; known when all inputs were read.

    Raises
    ------
    StateError
        If neither journal nor checkpoint names a configuration.
    """

    def __init__(self, directories: Sequence[Path]) -> None:
        self._directories = directories
        self._starts = [first_boundary(directory) for directory in directories]
        self._counted_apart = counted_apart(directories)
        # Shards that count together have all inputs from their highest beginning on. Before those that count
        # apart, as many inputs came as their beginnings say together.
        first = sum if self._counted_apart else max
        self.ordinal_first = first(start.ordinal for start in self._starts)
        headers = list(map(_checkpointed, directories, self._starts))
        self.policies = [bytes(found[1]) for found in headers if found is not None]
        said = [] if headers[0] is None else [(self._starts[0].ordinal, headers[0][0])]
        said += _noted(directories[0], self._starts[0])
        self.configurations = self._recorded = _recorded(directories[0], said)
        self.torn: list[str] = []

    def configuration_at(self, ordinal: int) -> Recorded:
        """Return the configuration in force for an input."""
        before = [each for each in self.configurations if each.ordinal <= ordinal]
        return before[-1] if before else self.configurations[0]

    def inputs(self, progress: Progress | None = None) -> Iterator[Record]:
        """All inputs in the order in which they came, each once, erased ones among them.

        An input that went to several shards is told with what the shard made of it that decided, or else the
        first one.

        Raises
        ------
        JournalDamaged
            At the first byte that is not what was written.
        """
        shards = [
            self._of_shard(directory, start, progress)
            for directory, start in zip(self._directories, self._starts, strict=True)
        ]
        if self._counted_apart:
            return self._numbered(shards)
        records = [self._kept(frames) for frames in shards]
        return _once(merge(*records, key=_ordinal)) if len(records) > 1 else records[0]

    def _of_shard(self, directory: Path, start: Boundary, progress: Progress | None) -> Iterator[Frame]:
        reader = JournalReader(directory, start, cut_torn_tail=False)
        for frame in reader.frames():
            yield frame
            if progress is not None:
                progress(frame.head.position_next - frame.head.position, frame.head.records)
        if reader.torn is not None:
            self.torn.append(str(reader.torn))

    def _kept(self, frames: Iterator[Frame]) -> Iterator[Record]:
        first, control = self.ordinal_first, Kind.CONTROL
        for frame in frames:
            for record in frame.records:
                if record.kind != control and record.ordinal >= first:
                    yield record

    def _numbered(self, shards: Sequence[Iterator[Frame]]) -> Iterator[Record]:
        """Yield inputs of topics, numbered as they come; so are configurations, by the first shard's."""
        first, *later = self._recorded
        settings, ordinal = first.settings, self.ordinal_first
        # The first one holds for what other shards tell before the first shard tells anything.
        self.configurations = [replace(first, ordinal=ordinal)]
        whole = [start.segment == GENESIS.segment for start in self._starts]
        for number, record in in_turns(shards, whole, route_of(settings), settings):
            while number == 0 and later and later[0].ordinal <= record.ordinal:
                self.configurations.append(replace(later.pop(0), ordinal=ordinal))
            yield record._replace(ordinal=ordinal)
            ordinal += 1
        self.configurations += [replace(each, ordinal=ordinal) for each in later]


def _once(records: Iterator[Record]) -> Iterator[Record]:
    """Of records with one ordinal the one that decided, or else the first."""
    held: Record | None = None
    for record in records:
        if held is None or record.ordinal != held.ordinal:
            if held is not None:
                yield held
            held = record
        # Kinds are numbered from what says most to what says least: a decision goes before "applied".
        elif record.kind < held.kind:
            held = record
    if held is not None:
        yield held


def _checkpointed(directory: Path, start: Boundary) -> tuple[Mapping[str, Any], memoryview] | None:
    """Header and policy of the checkpoint at a journal's start, where its beginning is gone."""
    if start.segment > GENESIS.segment:
        with suppress(CheckpointDamaged):
            found = read_checkpoint(checkpoint_path(directory, start.segment))
            return found.header, found.blobs.get("policy") or found.blobs["head"]
    return None


def _noted(directory: Path, start: Boundary) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for record in note_records(directory, start):
        note = orjson.loads(record.input)
        if note["control"] == "config":
            yield record.ordinal, note


def _recorded(directory: Path, said: Sequence[tuple[int, Mapping[str, Any]]]) -> list[Recorded]:
    found: list[Recorded] = []
    for ordinal, each in said:
        try:
            settings = restore(each["settings"].encode())
        except ValueError as error:
            raise StateError(
                f"{directory}: a configuration that version {each['code']} wrote can't be read: {error}"
            ) from error
        found.append(
            Recorded(ordinal, settings, digest(settings), each["learn"], each["code"], each.get("kernel"))
        )
    if not found:
        raise StateError(f"{directory}: neither journal nor checkpoint names a configuration")
    return found
