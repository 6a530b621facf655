"""Derives every decision from the journal once more, and compares it with the recorded one.

Nothing here writes, or takes the state's lock, so that it works beside a running flow.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any, Final

import orjson

from headrace.config.canonical import restore
from headrace.config.tables import RunSettings
from headrace.errors import CheckpointDamaged, JournalDamaged, StateError, StateMismatch
from headrace.journal.checkpoint import Checkpoint, checkpoint_numbers, checkpoint_path, read_checkpoint
from headrace.journal.frames import GENESIS, Boundary, Frame
from headrace.journal.provenance import numeric_platform
from headrace.journal.reader import JournalReader
from headrace.journal.records import CONTROL_SOURCE, Kind, Record
from headrace.journal.scan import notes_of
from headrace.journal.segments import first_boundary, segment_path, start_of
from headrace.shard.apply_record import apply_again
from headrace.shard.checkpoint_header import STATE_VERSION
from headrace.shard.decision_line import lines_of
from headrace.shard.kinds import build_machine
from headrace.shard.machine import Machine, Output
from headrace.shard.mismatch import other_version

__all__ = ["Difference", "Rederived", "Unlike", "other_platforms", "rederive", "refuse_other_platforms"]

_DECIDED: Final = int(Kind.DECIDED)
_CONTROL: Final = int(Kind.CONTROL)
_NO_CHECKPOINT: Final = "no checkpoint of what is kept can be read, and the journal's beginning is gone"

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Unlike:
    """One thing that came out otherwise: what it is, how it was recorded, how it came out."""

    what: str
    recorded: str
    derived: str


@dataclass(frozen=True, slots=True)
class Difference:
    """An input that leads to something else than was recorded.

    Attributes
    ----------
    file, byte, record
        The segment's file, where the frame starts in it, and the record's number in the frame, from 0.
    ordinal
        The input's place in the merged order of all sources.
    decision_id
        Of the recorded decision, else of the derived one; None if there is neither.
    unlike
        What came out otherwise: `kind`, `line`, `detail`.
    """

    file: str
    byte: int
    record: int
    ordinal: int
    decision_id: str | None
    unlike: tuple[Unlike, ...]

    def __str__(self) -> str:
        named = self.decision_id or f"input {self.ordinal}"
        said = "; ".join(f"{each.what} {each.recorded}, now {each.derived}" for each in self.unlike)
        return f"{self.file}: byte {self.byte}, record {self.record}: {named}: {said}"


@dataclass(slots=True)
class Rederived:
    """What came of deriving a shard's journal once more.

    Attributes
    ----------
    shard
        Its name.
    begins
        `genesis`, or the name of the checkpoint that it began with because the journal's beginning is gone.
    ordinal_first, ordinal_next
        Of the first input that was looked at, and behind the last one.
    gone
        Inputs that are kept, but stand before the first checkpoint.
    inputs, decisions
        How many were applied again; how many of them had been decided and were compared.
    differences, first
        How many inputs led to something else, and the first one.
    erased
        Erased records. What a state is behind one can't be known until the next checkpoint:
    unknown, unknown_decisions
        inputs, and decisions, that stand between; they can't be derived.
    resumed
        Names of the checkpoints from which it went on behind erased records.
    codes, platforms
        Versions of the program and platforms that the journal names, in order.
    passed_over
        Checkpoints that can't be read.
    torn
        What an interrupted write, or one that goes on, left at the end.
    damage
        The first broken place; nothing behind it was looked at.
    """

    shard: str
    begins: str = "genesis"
    ordinal_first: int = 0
    ordinal_next: int = 0
    gone: int = 0
    inputs: int = 0
    decisions: int = 0
    differences: int = 0
    first: Difference | None = None
    erased: int = 0
    unknown: int = 0
    unknown_decisions: int = 0
    resumed: list[str] = field(default_factory=list)
    codes: list[str] = field(default_factory=list)
    platforms: list[str] = field(default_factory=list)
    passed_over: list[str] = field(default_factory=list)
    torn: str | None = None
    damage: str | None = None

    @property
    def same(self) -> bool:
        """Whether everything that could be derived was as recorded."""
        return not self.differences and self.damage is None


# ---------------------------------------------------------------- platforms


def other_platforms(directories: Sequence[Path]) -> Iterator[str]:
    """Kernels that the journals name and that are not this one's, each with its shard.

    Raises
    ------
    JournalDamaged
        If a journal can't be read.
    """
    for directory in directories:
        for name in _platforms(directory):
            if name != numeric_platform():
                yield f"{directory}: was computed with {name}; this is {numeric_platform()}"


def _platforms(directory: Path) -> list[str]:
    said: list[Mapping[str, Any]] = []
    start = first_boundary(directory)
    if start.segment > GENESIS.segment:
        checkpoint = _oldest_checkpoint(directory, [])
        said += [] if checkpoint is None else [checkpoint.header]
    said += [note for note in notes_of(directory, start) if note["control"] == "config"]
    return list(dict.fromkeys(each["kernel"] for each in said if each.get("kernel")))


def refuse_other_platforms(directories: Sequence[Path]) -> None:
    """See that the journals were computed with this platform.

    Raises
    ------
    StateMismatch
        If one was not; scores may differ in their last digits then.
    """
    found = list(other_platforms(directories))
    if found:
        raise StateMismatch(
            [*found, "scores may differ in their last digits; --other-platform compares all the same"]
        )


# ---------------------------------------------------------------- checkpoints


def _oldest_checkpoint(directory: Path, passed_over: list[str]) -> Checkpoint | None:
    """Return the oldest checkpoint that can be read and goes with a segment that is kept."""
    first = first_boundary(directory).segment
    # The oldest, not the newest: as many decisions as possible are to be derived, and a checkpoint only
    # spares them.
    numbers = (number for number in reversed(checkpoint_numbers(directory)) if number >= first)
    found = (_readable(directory, number, passed_over) for number in numbers)
    return next((each for each in found if each is not None), None)


def _readable(directory: Path, number: int, passed_over: list[str]) -> Checkpoint | None:
    try:
        return read_checkpoint(checkpoint_path(directory, number))
    except CheckpointDamaged as damaged:
        passed_over.append(str(damaged))
        return None


# ---------------------------------------------------------------- deriving


def rederive(directory: Path, *, shard: int, progress: Progress | None = None) -> Rederived:
    """Apply all inputs of a shard's journal once more, and compare what comes of them byte for byte.

    It begins with nothing, or with the oldest checkpoint if the journal's beginning is gone. Configurations
    hold from where the journal has them; commands, and inputs that were overdue or given once more, are
    applied as such.

    Parameters
    ----------
    directory
        The shard's.
    shard
        Its number.
    progress
        Told of bytes and records.

    Raises
    ------
    StateError
        If there is nothing to begin with.
    StateMismatch
        If the checkpoint, or the journal, has another version.
    """
    return _Rederiving(directory, shard, progress).run()


class _Rederiving:
    """One walk through a journal with the state that its inputs lead to."""

    def __init__(self, directory: Path, shard: int, progress: Progress | None) -> None:
        self.directory, self.shard, self.progress = directory, shard, progress
        self.found = Rederived(directory.name)
        self.names: dict[int, str] = {}
        self.state: Machine | None = None

    def run(self) -> Rederived:
        """Walk to the end, or to the first broken place."""
        try:
            self._walk()
        except JournalDamaged as damaged:
            self.found.damage = str(damaged)
        return self.found

    def _walk(self) -> None:
        found = self.found
        start = self._begin()
        found.ordinal_first = found.ordinal_next = start.ordinal
        reader, segment = JournalReader(self.directory, start, cut_torn_tail=False), start.segment
        for frame in reader.frames():
            if frame.head.segment != segment:
                segment = frame.head.segment
                self._resume(segment)
            self._frame(frame)
            found.ordinal_next = frame.head.ordinal_next
            if self.progress is not None:
                self.progress(frame.head.position_next - frame.head.position, frame.head.records)
        found.torn = None if reader.torn is None else str(reader.torn)

    # -- where it begins, and goes on

    def _begin(self) -> Boundary:
        first = first_boundary(self.directory)
        if first.segment == GENESIS.segment:
            self.state = self._state(self._first_settings(first), learn=True)
            return first
        checkpoint = _oldest_checkpoint(self.directory, self.found.passed_over)
        if checkpoint is None:
            raise StateError(f"{self.directory}: {_NO_CHECKPOINT} (it starts with segment {first.segment})")
        self._load(checkpoint)
        self.found.begins = checkpoint_path(self.directory, checkpoint.segment).name
        start = start_of(self.directory, checkpoint.segment)
        self.found.gone = start.ordinal - first.ordinal
        return start

    def _first_settings(self, first: Boundary) -> RunSettings:
        for note in notes_of(self.directory, first):
            if note["control"] == "config":
                return restore(note["settings"].encode())
        raise StateError(f"{self.directory}: the journal names no configuration")

    def _state(self, settings: RunSettings, *, learn: bool) -> Machine:
        state = build_machine(settings, shard=self.shard, learn=learn)
        state.source_names = ChainMap(self.names, {CONTROL_SOURCE: "control"})
        return state

    def _load(self, checkpoint: Checkpoint) -> None:
        header = checkpoint.header
        if header["version"] != STATE_VERSION:
            raise StateMismatch([other_version(self.directory, header, STATE_VERSION)])
        self.names.update((int(number), name) for number, name in header["sources"].items())
        self._note_origin(header)
        state = self._state(restore(header["settings"].encode()), learn=header["learn"])
        try:
            state.load(checkpoint.blobs)  # type: ignore[arg-type]  # a view serves as bytes
        except ValueError as error:
            raise StateMismatch([f"{self.directory}: model: {error}"]) from error
        self.state = state

    def _resume(self, segment: int) -> None:
        """Behind an erased record, go on with the checkpoint that goes with a segment, if there is one."""
        if self.state is None and segment in checkpoint_numbers(self.directory):
            checkpoint = _readable(self.directory, segment, self.found.passed_over)
            if checkpoint is not None:
                self._load(checkpoint)
                self.found.resumed.append(checkpoint_path(self.directory, segment).name)

    # -- records

    def _frame(self, frame: Frame) -> None:
        for number, record in enumerate(frame.records):
            if record.kind == _CONTROL:
                if not record.erased:
                    self._control(orjson.loads(record.input))
            elif record.erased:
                self.found.erased += 1
                # The state without this input can't be known; the next checkpoint that holds it is where
                # deriving goes on.
                self.state = None
            elif self.state is None:
                self.found.unknown += 1
                self.found.unknown_decisions += len(lines_of(record.output)) if record.kind == _DECIDED else 0
            else:
                self._compare(frame, number, record, self._applied(self.state, record))
        if self.state is not None:
            self.state.evaluated.clear()

    def _applied(self, state: Machine, record: Record) -> Output:
        try:
            return apply_again(state, record)
        except ValueError as error:
            raise StateError(f"{self.directory}: input {record.ordinal}: {error}") from error

    def _control(self, note: Mapping[str, Any]) -> None:
        if note["control"] == "source":
            self.names[note["number"]] = note["name"]
        elif note["control"] == "config":
            self._note_origin(note)
            if self.state is not None:
                self.state.configure(restore(note["settings"].encode()), learn=note["learn"])

    def _note_origin(self, said: Mapping[str, Any]) -> None:
        for known, name in ((self.found.codes, said["code"]), (self.found.platforms, said.get("kernel"))):
            if name and name not in known:
                known.append(name)

    def _compare(self, frame: Frame, number: int, record: Record, derived: Output) -> None:
        found = self.found
        found.inputs += 1
        if record.kind == _DECIDED:
            found.decisions += len(lines_of(record.output))
        if derived != (record.kind, record.output, record.detail):
            found.differences += 1
            if found.first is None:
                found.first = _difference(self.directory, frame, number, record, derived)


# ---------------------------------------------------------------- naming a difference


def _difference(directory: Path, frame: Frame, number: int, record: Record, derived: Output) -> Difference:
    kind, line, detail = derived
    unlike = []
    if kind != record.kind:
        unlike.append(Unlike("kind", Kind(record.kind).name.lower(), Kind(kind).name.lower()))
    recorded, line = _first_unlike(record.output, line)
    if line != recorded:
        unlike.append(Unlike("line", *_lines(recorded, line)))
    if detail != record.detail:
        unlike.append(Unlike("detail", *_details(record.detail, detail)))
    head = frame.head
    path = str(segment_path(directory, head.segment))
    ids = [_decision_id(*each) for each in ((record.kind, recorded), (kind, line))]
    named = next((each for each in ids if each is not None), None)
    return Difference(path, head.position, number, record.ordinal, named, tuple(unlike))


def _first_unlike(recorded: bytes, derived: bytes) -> tuple[bytes, bytes]:
    """Return the first two lines that differ of what an input led to; the first ones if none do."""
    pairs = list(zip_longest(lines_of(recorded), lines_of(derived), fillvalue=b""))
    return next((pair for pair in pairs if pair[0] != pair[1]), pairs[0])


def _decision_id(kind: int, line: bytes) -> str | None:
    return str(_read(line).get("decision_id")) if kind == _DECIDED and line else None


def _read(line: bytes) -> dict[str, Any]:
    try:
        read = orjson.loads(line)
    except ValueError:
        read = None
    return read if isinstance(read, dict) else {"line": line.decode(errors="backslashreplace")}


def _lines(recorded: bytes, derived: bytes) -> tuple[str, str]:
    """Return the fields in which two lines differ."""
    before, after = _read(recorded), _read(derived)
    keys = [key for key in {**before, **after} if before.get(key) != after.get(key)]
    return _fields(before, keys), _fields(after, keys)


def _fields(said: Mapping[str, Any], keys: Sequence[str]) -> str:
    return ", ".join(f"{key} {orjson.dumps(said.get(key)).decode()}" for key in keys) or "in other bytes"


def _details(recorded: bytes, derived: bytes) -> tuple[str, str]:
    pairs = enumerate(zip(recorded, derived, strict=False))
    at = next((at for at, (one, other) in pairs if one != other), min(len(recorded), len(derived)))
    return _from(recorded, at), _from(derived, at)


def _from(detail: bytes, at: int) -> str:
    return f"of {len(detail)} bytes, from byte {at} {detail[at : at + 8].hex() or 'nothing'}"
